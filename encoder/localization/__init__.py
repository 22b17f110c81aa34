"""Where does the sound come from, and is the map right? Metrics, ground truths, test sets.

boxes         what people drew, as fractions of the frame
ground_truth  annotators' masks and their consensus (S19 eq. 9)
masks         from a map to a region: median, fixed, adaptive
metrics       cIoU (S19 eq. 10), success curve, AUC, IIoU, AUROC
evaluate      figures of a set of maps, from arrays
baselines     random map, centre box, whole picture
splits        disjoint test sets (S19 Table 4)
annotations   Flickr-SoundNet XML and VGG-SS JSON
concat        concat-and-localize (O20 §5), and concat_files, which writes it out

Needs numpy and Pillow, not torch.
"""

from encoder.localization.annotations import Annotations, Exclusion, read_annotations
from encoder.localization.boxes import AnnotatedBox, box_of, boxes_json, mask_of_boxes
from encoder.localization.evaluate import MapFigures, consensus_ious, evaluate_maps
from encoder.localization.ground_truth import GroundTruth, consensus_map, ground_truth
from encoder.localization.masks import ADAPTIVE, HALF, MEDIAN, Threshold, masks_of, resize_maps
from encoder.localization.metrics import auroc, consensus_iou, success_curve
from encoder.localization.splits import SplitFigures, disjoint_splits, split_figures

__all__ = [
    "ADAPTIVE",
    "HALF",
    "MEDIAN",
    "AnnotatedBox",
    "Annotations",
    "Exclusion",
    "GroundTruth",
    "MapFigures",
    "SplitFigures",
    "Threshold",
    "auroc",
    "box_of",
    "boxes_json",
    "consensus_iou",
    "consensus_ious",
    "consensus_map",
    "disjoint_splits",
    "evaluate_maps",
    "ground_truth",
    "mask_of_boxes",
    "masks_of",
    "read_annotations",
    "resize_maps",
    "split_figures",
    "success_curve",
]
