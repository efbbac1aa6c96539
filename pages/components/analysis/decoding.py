"""The processes in which the pictures of all sessions are decoded: a damaged file may end one. Loads no torch."""

from gradcam_core import Decoder

DECODER = Decoder()
read_image = DECODER.read_image
