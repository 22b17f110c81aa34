"""Media files in, pixels and samples out: the only place that imports Pillow, soundfile and PyAV.

reading     the five public functions
measuring   three more: decode all of a file once, and keep some numbers of it alone
levels      how loud a sound is, how much of it is clipped, what its mix-down loses
looks       how bright a picture is, how far its colours reach, how much a video moves
images      pictures, by Pillow
libsndfile  sounds, exact to the sample: WAV, AIFF, FLAC, Vorbis …
ffmpeg      MP4, Matroska, Opus, MP3, and all that libsndfile does not know
spans       from what a decoder gives to the samples that were asked for
resampling  the one resampler
source      the open file: what is refused before any decoder sees it
formats     what a file is, and whether it is all there, by its bytes

A picture is uint8 RGB, upright: EXIF and display rotation are applied, transparency lies on white,
CMYK is converted without its profile, 16-bit grey is scaled, 32-bit grey is stretched from its
least to its greatest value, an animation gives its first frame.

A sound is float32 mono in [-1, 1]: the mean of its channels, clipped, resampled by torchaudio's
windowed sinc at its default settings. Time 0 is where the first stream of the file begins, so that
a frame and a sound of the same time belong together. A span is the same slice of the whole: exact
where libsndfile decodes, within the codec's run-in elsewhere, and within half a millisecond in
Matroska, whose clock counts milliseconds.

Files are known by their content, whatever their suffix says, and read through open file objects, so
that any name will do. Every failure is a `MediaError`. The functions may be called from several
threads: each keeps to the calling one, but for PyTorch's own pool in the resampler.
"""

from encoder.media.formats import Kind, kind_of
from encoder.media.levels import Level, Levels
from encoder.media.looks import Look, Motion
from encoder.media.measuring import measure_picture, measure_sound, measure_video
from encoder.media.reading import probe, read_frame, read_image, read_sound
from encoder.media.source import MediaLimits, MediaProbe

__all__ = [
    "Kind",
    "Level",
    "Levels",
    "Look",
    "MediaLimits",
    "MediaProbe",
    "Motion",
    "kind_of",
    "measure_picture",
    "measure_sound",
    "measure_video",
    "probe",
    "read_frame",
    "read_image",
    "read_sound",
]
