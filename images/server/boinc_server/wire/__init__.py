"""What travels between volunteers and the project: reading requests, writing replies.

Nothing in here touches the database; the types are plain data.
"""
