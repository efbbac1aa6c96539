"""JPEG as pydicom's own decoders leave out: lossless, the usual compression of radiology, and with 12 bits.

pydicom finds a decoder by the module's functions `is_available` and `decode_frame`. Both kinds go to libjpeg-turbo.
"""

import imagecodecs
import numpy as np
from pydicom.pixels.decoders.base import (
    DecodeRunner,
    JPEGExtended12BitDecoder,
    JPEGLosslessDecoder,
    JPEGLosslessSV1Decoder,
)
from pydicom.uid import JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

DECODER_DEPENDENCIES = {uid: ("imagecodecs",) for uid in (JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)}
_NAME = "imagecodecs"


def is_available(uid: str) -> bool:
    """Whether a transfer syntax is decoded here."""
    return uid in DECODER_DEPENDENCIES


def decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """Decode one frame; lossless colour is not converted, whatever its marks say."""
    lossless = runner.transfer_syntax != JPEGExtended12Bit and runner.samples_per_pixel == 3
    colours = "RGB" if lossless else None
    decoded = np.asarray(imagecodecs.jpeg8_decode(source, colorspace=colours, outcolorspace=colours))
    runner.set_option("planar_configuration", 0)
    runner.set_option("bits_allocated", 8 * decoded.dtype.itemsize)
    return decoded.tobytes()


for _decoder in (JPEGExtended12BitDecoder, JPEGLosslessDecoder, JPEGLosslessSV1Decoder):
    if _NAME not in _decoder.available_plugins:
        _decoder.add_plugin(_NAME, (__name__, "decode_frame"))
