"""indexer.database: where a catalogue is kept, and what is peculiar to each kind of database.

kind         what a catalogue asks of its database: the one protocol
sqlite       a file in the index folder, the default
postgresql   a schema of a server
expressions  what a filter asks of values, for each kind
written      how values are written, for all of them
place        the file in the index folder that says which server, and which schema
"""
