"""Every statement on the tasks of one owner; there is no other SQL on tasks but the migrations.

Each is written with SQLAlchemy, compiled once, and has bound parameters, the owner among them. None reads before it
writes, so no concurrent request can change anything between the two.
"""
