"""indexer.migrations: how the catalogue of an earlier release becomes one of this release.

steps   the steps in order, and which of them a catalogue has behind it
tables  the tables as they were first, and the types of their columns

A step that was released is never changed and never taken away: a new one is added at the end. It
speaks of tables of its own, never of those in `indexer.catalogue`, which are as they are today.
"""
