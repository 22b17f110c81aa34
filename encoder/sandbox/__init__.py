"""Media decoded in processes of their own, so that a hostile file costs one item and not the run.

sandbox      `Sandbox`: the functions of `encoder.media`, done elsewhere
answers      what comes back, looked at before it is used
processes    the template and the workers, seen from the caller
template     the process that has imported the decoders, and forks
worker       the process that decodes
confinement  what it may not do
kernel       that part of it which Linux has special means for
framing      messages between them: JSON and raw bytes, no pickle
"""

from encoder.sandbox.sandbox import Sandbox

__all__ = ["Sandbox"]
