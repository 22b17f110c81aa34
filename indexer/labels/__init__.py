"""indexer.labels: what labellers say of items, per provider and version.

provider   what a provider of labels is: the one protocol, and what passes through it
known      labels that are known beforehand, from a column or a file
column     a column of the manifest as labels
file       any table of labels, matched with the items that it speaks of
file_rows  one row of such a table, checked
tables     the table itself (Parquet, CSV, JSON, JSON lines)
ranked     rows of labels to the best ten of each item
models     a pair of labellers over the files of the corpus
labelling  the run: what is left to do, answer by answer into the catalogue
ledger     the writer's side of the catalogue
lookup     the reader's side
errors     what can go wrong

Readers ask `IndexReader.pseudo_labels`; the answer's types are in `indexer.pseudo_labels`.
"""
