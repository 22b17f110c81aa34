"""train.reproduce: one runnable row per table and figure of S18 and S19.

rows        the catalogue: what each row shows, claims and needs
run         rows in, outcomes out
outcome     what a row found: tables, checks, files
size        how large: `small` for a processor and minutes, `full` as in the papers
material    what the rows are computed on, whatever it was made of
world       the material as a procedural world
folder      the material as a folder of the papers' data
lab         networks trained once and shared by the rows that look at them
schemes     which trainings the rows compare
plans       which of them each row asks for
looking     frames looked at with sounds
orderings   what a paper claims, judged by paired differences and their intervals
localized   cIoU of the schemes, and orderings between them
learning    Tables 1 to 5 and the success curve of Figure 9
maps        Figures 3, 5, 7 and 8: heat maps side by side
sounds      Figures 6 and 10: one frame, several sounds
spaces      everything scored against everything in the learned space
pseudo      pseudo labels of a database
neighbours  Table 6: success of the nearest neighbours
nearest     Figures 11 and 12: nearest neighbours, drawn
moving      Figures 13 and 14: clips and panoramas
study       Table 7: the tally of a user study
drawing     pictures in rows with heat maps, boxes and captions; curves
"""
