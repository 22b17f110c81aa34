"""indexer.database: where a catalogue is kept, and what is peculiar to each kind of database.

sqlite   a file in the index folder, the default
"""
