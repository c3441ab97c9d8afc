"""The project database, table by table, with BOINC's own field names (db/schema.sql, db/boinc_db_types.h).

Times are whole unix seconds of the project's (virtual) clock. States are the numbers of `states.py`.
SQLAlchemy Core tables, not mapped classes: the hot path runs on prepared statements.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, SmallInteger, String, Table, Text, text

metadata = MetaData()

# Partial indexes hold the few rows that wait for something. SQLite only uses them for a query that has
# their condition literally in it, not as a parameter: see the texts below.
UNSENT = text("result.server_state = 2")
OUTPUTS_TO_DELETE = text("result.file_delete_state = 1")
TO_VALIDATE = text("workunit.need_validate > 0")
TO_ASSIMILATE = text("workunit.assimilate_state = 1")

BLOB_SIZE = 65536
"""Bytes the stock scheduler has for one XML blob; longer texts are cut or refused."""


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True, autoincrement=True)


def _int(name: str, default: int = 0) -> Column[int]:
    return Column(name, Integer, nullable=False, default=default, server_default=str(default))


def _small(name: str, default: int = 0) -> Column[int]:
    return Column(name, SmallInteger, nullable=False, default=default, server_default=str(default))


def _float(name: str, default: float = 0.0) -> Column[float]:
    return Column(name, Float(53), nullable=False, default=default, server_default=str(default))


def _str(name: str, length: int = 254, *, unique: bool = False) -> Column[str]:
    return Column(name, String(length), nullable=False, default="", server_default="", unique=unique)


def _blob(name: str) -> Column[str]:
    # A length above 64 KiB makes MariaDB choose MEDIUMTEXT; PostgreSQL takes no length at all.
    kind = Text().with_variant(Text(2**24 - 1), "mysql", "mariadb")
    return Column(name, kind, nullable=False, default="")


def _table(name: str, *items: Column[int] | Column[float] | Column[str] | Index) -> Table:
    # AUTOINCREMENT: the id of a purged row is never given out again.
    return Table(name, metadata, *items, sqlite_autoincrement=any(getattr(i, "name", "") == "id" for i in items))


platform = _table(
    "platform",
    _id(),
    _int("create_time"),
    _str("name", unique=True),
    _str("user_friendly_name"),
    _small("deprecated"),
)

app = _table(
    "app",
    _id(),
    _int("create_time"),
    _str("name", unique=True),
    _int("min_version"),
    _small("deprecated"),
    _str("user_friendly_name"),
    _small("homogeneous_redundancy"),
    _float("weight", 1.0),
    _small("beta"),
    _small("target_nresults"),
    _float("min_avg_pfc", 1.0),
    _small("host_scale_check"),
    _small("homogeneous_app_version"),
    _small("non_cpu_intensive"),
    _int("locality_scheduling"),
    _small("n_size_classes"),
    _small("fraction_done_exact"),
)

app_version = _table(
    "app_version",
    _id(),
    _int("create_time"),
    _int("appid"),
    _int("version_num"),
    _int("platformid"),
    _blob("xml_doc"),
    _int("min_core_version"),
    _int("max_core_version"),
    _small("deprecated"),
    _str("plan_class"),
    _float("pfc_n"),
    _float("pfc_avg"),
    _float("pfc_scale"),
    _float("expavg_credit"),
    _float("expavg_time"),
    _small("beta"),
    Index("apvp", "appid", "platformid", "version_num", "plan_class", unique=True),
)

user = _table(
    "user",
    _id(),
    _int("create_time"),
    _str("email_addr", unique=True),
    _str("name"),
    _str("authenticator", unique=True),
    _str("country"),
    _str("postal_code"),
    _float("total_credit"),
    _float("expavg_credit"),
    _float("expavg_time"),
    _blob("global_prefs"),
    _blob("project_prefs"),
    _int("teamid"),
    _str("venue"),
    _str("url"),
    _small("send_email", 1),
    _small("show_hosts", 1),
    _small("posts"),
    _str("cross_project_id"),
    _str("passwd_hash"),
    _small("email_validated"),
    _small("donated"),
    _str("login_token", 32),
    _int("login_token_time"),
    _str("previous_email_addr"),
    _int("email_addr_change_time"),
)

team = _table(
    "team",
    _id(),
    _int("create_time"),
    _int("userid"),
    _str("name", unique=True),
    _str("name_lc"),
    _str("url"),
    _int("type"),
    _str("name_html"),
    _blob("description"),
    _int("nusers"),
    _str("country"),
    _float("total_credit"),
    _float("expavg_credit"),
    _float("expavg_time"),
    _int("ping_user"),
    _int("ping_time"),
    _small("joinable", 1),
    _int("mod_time"),
)

host = _table(
    "host",
    _id(),
    _int("create_time"),
    _int("userid"),
    _int("rpc_seqno"),
    _int("rpc_time"),
    _float("total_credit"),
    _float("expavg_credit"),
    _float("expavg_time"),
    _int("timezone"),
    _str("domain_name"),
    _str("serialnum"),
    _str("last_ip_addr"),
    _int("nsame_ip_addr"),
    _float("on_frac"),
    _float("connected_frac"),
    _float("active_frac"),
    _float("cpu_efficiency"),
    _float("duration_correction_factor"),
    _int("p_ncpus"),
    _str("p_vendor"),
    _str("p_model"),
    _float("p_fpops"),
    _float("p_iops"),
    _float("p_membw"),
    _str("os_name"),
    _str("os_version"),
    _float("m_nbytes"),
    _float("m_cache"),
    _float("m_swap"),
    _float("d_total"),
    _float("d_free"),
    _float("d_boinc_used_total"),
    _float("d_boinc_used_project"),
    _float("d_boinc_max"),
    _float("n_bwup"),
    _float("n_bwdown"),
    _float("credit_per_cpu_sec"),
    _str("venue"),
    _int("nresults_today"),
    _float("avg_turnaround"),
    _str("host_cpid"),
    _str("external_ip_addr"),
    _int("max_results_day"),
    _float("error_rate"),
    _str("product_name"),
    _float("gpu_active_frac"),
    _int("p_ngpus"),
    _float("p_gpu_fpops"),
    _blob("misc"),
    Index("host_userid_cpid", "userid", "host_cpid"),
    Index("host_domain_name", "domain_name"),
)

workunit = _table(
    "workunit",
    _id(),
    _int("create_time"),
    _int("appid"),
    _str("name", unique=True),
    _blob("xml_doc"),
    _int("batch"),
    _float("rsc_fpops_est"),
    _float("rsc_fpops_bound"),
    _float("rsc_memory_bound"),
    _float("rsc_disk_bound"),
    _float("rsc_bandwidth_bound"),
    _small("need_validate"),
    _int("canonical_resultid"),
    _float("canonical_credit"),
    _int("transition_time"),
    _int("delay_bound"),
    _int("error_mask"),
    _small("file_delete_state"),
    _small("assimilate_state"),
    _int("hr_class"),
    _float("opaque"),
    _int("min_quorum"),
    _int("target_nresults"),
    _int("max_error_results"),
    _int("max_total_results"),
    _int("max_success_results"),
    _str("result_template_file"),
    _int("priority"),
    _int("mod_time"),
    _int("fileset_id"),
    _int("app_version_id"),
    _small("transitioner_flags"),
    _small("size_class", -1),
    _str("keywords"),
    _int("app_version_num"),
    Index("wu_transition_time", "transition_time"),
    Index("wu_val", "need_validate", "appid", sqlite_where=text("need_validate > 0")),
    Index("wu_assim", "assimilate_state", "appid", sqlite_where=text("assimilate_state = 1")),
    Index("wu_filedel", "file_delete_state", "mod_time"),
    Index("wu_batch", "batch"),
)

result = _table(
    "result",
    _id(),
    _int("create_time"),
    _int("workunitid"),
    _small("server_state"),
    _small("outcome"),
    _small("client_state"),
    _int("hostid"),
    _int("userid"),
    _int("report_deadline"),
    _int("sent_time"),
    _int("received_time"),
    _str("name", unique=True),
    _float("cpu_time"),
    _blob("xml_doc_in"),
    _blob("xml_doc_out"),
    _blob("stderr_out"),
    _int("batch"),
    _small("file_delete_state"),
    _small("validate_state"),
    _float("claimed_credit"),
    _float("granted_credit"),
    _float("opaque"),
    _int("random"),
    _int("app_version_num"),
    _int("appid"),
    _int("exit_status"),
    _int("teamid"),
    _int("priority"),
    _int("mod_time"),
    _float("elapsed_time"),
    _float("flops_estimate"),
    _int("app_version_id"),
    _small("runtime_outlier"),
    _small("size_class", -1),
    _float("peak_working_set_size"),
    _float("peak_swap_size"),
    _float("peak_disk_usage"),
    Index("res_wuid", "workunitid"),
    Index("res_hostid", "hostid", "server_state"),
)

host_app_version = _table(
    "host_app_version",
    Column("host_id", Integer, primary_key=True, autoincrement=False),
    Column("app_version_id", Integer, primary_key=True, autoincrement=False),
    _float("pfc_n"),
    _float("pfc_avg"),
    _float("et_n"),
    _float("et_avg"),
    _float("et_var"),
    _float("et_q"),
    _int("max_jobs_per_day"),
    _int("n_jobs_today"),
    _float("turnaround_n"),
    _float("turnaround_avg"),
    _float("turnaround_var"),
    _float("turnaround_q"),
    _int("consecutive_valid"),
)

batch = _table(
    "batch",
    _id(),
    _int("user_id"),
    _int("create_time"),
    _float("logical_start_time"),
    _float("logical_end_time"),
    _float("est_completion_time"),
    _int("njobs"),
    _float("fraction_done"),
    _int("nerror_jobs"),
    _int("state"),
    _float("completion_time"),
    _float("credit_estimate"),
    _float("credit_canonical"),
    _float("credit_total"),
    _str("name"),
    _int("app_id"),
    _int("project_state"),
    _str("description"),
    _float("expire_time"),
)

assignment = _table(
    "assignment",
    _id(),
    _int("create_time"),
    _int("target_id"),
    _int("target_type"),
    _small("multi"),
    _int("workunitid"),
    _int("resultid"),
    Index("asg_target", "target_type", "target_id"),
    Index("asg_wuid", "workunitid"),
)

msg_from_host = _table(
    "msg_from_host",
    _id(),
    _int("create_time"),
    _int("hostid"),
    _str("variety"),
    _small("handled"),
    _blob("xml"),
    Index("message_hostid", "hostid"),
)

msg_to_host = _table(
    "msg_to_host",
    _id(),
    _int("create_time"),
    _int("hostid"),
    _str("variety"),
    _small("handled"),
    _blob("xml"),
    Index("msg_to_host_hostid", "hostid", "handled"),
)

user_submit = _table(
    "user_submit",
    Column("user_id", Integer, primary_key=True, autoincrement=False),
    _float("quota"),
    _float("logical_start_time"),
    _small("submit_all"),
    _small("manage_all"),
    _int("max_jobs_in_progress"),
)

user_submit_app = _table(
    "user_submit_app",
    Column("user_id", Integer, primary_key=True, autoincrement=False),
    Column("app_id", Integer, primary_key=True, autoincrement=False),
    _small("manage"),
)

job_file = _table(
    "job_file",
    _id(),
    _str("name", unique=True),
    _float("create_time"),
    _float("delete_time"),
)

batch_file_assoc = _table(
    "batch_file_assoc",
    Column("batch_id", Integer, primary_key=True, autoincrement=False),
    Column("job_file_id", Integer, primary_key=True, autoincrement=False),
)

credited_job = _table(
    "credited_job",
    Column("userid", Integer, primary_key=True, autoincrement=False),
    Column("workunitid", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
)

token = _table(
    "token",
    Column("token", String(64), primary_key=True),
    _int("userid"),
    Column("type", String(1), nullable=False, default=""),
    _int("create_time"),
)

# The feeder's order: high priority first, then oldest first.
Index(
    "res_feeder",
    result.c.appid,
    result.c.priority.desc(),
    result.c.id,
    sqlite_where=text("server_state = 2"),
)
