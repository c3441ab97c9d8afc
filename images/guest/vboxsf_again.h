/* Files of shared folders that outlive a saved state: put into fs/vboxsf/file.c by build-kernel.sh.
 *
 * VirtualBox keeps no handle of an open file in a saved state or a snapshot. A guest that goes on from one gets EBADF for each, and
 * the kernel tries a write that brought nothing again, for ever. So a handle that the host does not know is asked for anew, by the
 * file's name.
 */
static int again_open(struct file *file)
{
	struct vboxsf_handle *known = file->private_data;
	struct shfl_createparms wanted = {
		.handle = SHFL_HANDLE_NIL,
		.create_flags = SHFL_CF_ACT_FAIL_IF_NEW | known->access_flags,
		.info.attr.mode = file_inode(file)->i_mode,
	};
	int error = vboxsf_create_at_dentry(file_dentry(file), &wanted);

	if (error)
		return error;
	if (wanted.handle == SHFL_HANDLE_NIL)
		return -EBADF;
	known->handle = wanted.handle;
	return 0;
}

/* vboxsf_read or vboxsf_write, for a file that may have been open before. */
static int again(int (*call)(u32 root, u64 handle, u64 offset, u32 *count, u8 *bytes), struct file *file, u64 offset, u32 *count, u8 *bytes)
{
	struct vboxsf_handle *known = file->private_data;
	u32 asked = *count;
	int error = call(known->root, known->handle, offset, count, bytes);

	if (error != -EBADF || again_open(file))
		return error;
	*count = asked;
	return call(known->root, known->handle, offset, count, bytes);
}
