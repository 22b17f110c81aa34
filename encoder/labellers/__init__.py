"""encoder.labellers: what is in a frame or a sound, as ten names of one vocabulary.

Pseudo labels (S19 §5.3, Table 6) judge an encoder without annotation, so a labeller shares no
weight with the two-stream network. Two pairs exist: `shipped`, trained by `train.labellers`, and
`paper`, VGG-16 and SoundNet's object head from weight files.

protocol     what a labeller is and what it says
loading      the two pairs by name
classifier   the shipped networks and their configuration
shipped      the shipped labellers: a folder with weights, configuration and card
imagenet     VGG-16 over ImageNet-1000
soundnet     SoundNet-8's object head over ImageNet-1000
inference    one item through a network, checked
weight_file  tensors from `.safetensors`, `.pth` and `.npy` files
numpy_pickle a pickle reader that admits numpy arrays alone
convert      SoundNet's public layouts to ours
errors       what can go wrong

Importing this package does not import torch.
"""

from encoder.labellers.loading import load_labellers
from encoder.labellers.protocol import Labelled, Labeller, LabellerPair, Vocabulary

__all__ = ["Labelled", "Labeller", "LabellerPair", "Vocabulary", "load_labellers"]
