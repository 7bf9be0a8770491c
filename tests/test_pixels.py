import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from synthetic import encode, smooth

from stages.pixels import Undecodable, bars, decode, head_box, is_blank, open_image, pad, squash, to_grey, to_square

PICTURE = smooth(0)


def grey(data: bytes, **options) -> np.ndarray:
    return np.asarray(decode(open_image(data, 50), **options)).astype(float)


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that declares any size."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


MODES = {
    "PNG": ["L", "LA", "P", "RGB", "RGBA"], "JPEG": ["L", "RGB", "CMYK", "YCbCr"], "TIFF": ["L", "LA", "RGB", "RGBA", "P", "CMYK"],
    "BMP": ["L", "RGB", "P"], "GIF": ["P"], "WEBP": ["RGB", "RGBA"],
}  # fmt: skip


@pytest.mark.parametrize("form, mode", [(form, mode) for form, modes in MODES.items() for mode in modes])
def test_every_mode_becomes_the_same_grey(form, mode):
    decoded = grey(encode(PICTURE.convert(mode), form))
    assert np.abs(decoded - np.asarray(PICTURE)).mean() < (2 if form in ("JPEG", "WEBP") else 0.5)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_cut(form):
    values = np.asarray(PICTURE).astype(np.uint16)
    for factor in (257, 20):  # the whole range, and a scanner's twelve bits
        decoded = grey(encode(Image.fromarray(values * factor), form))
        assert np.corrcoef(decoded.ravel(), values.ravel())[0, 1] > 0.9999
        assert decoded.max() == pytest.approx(255, abs=40)


def test_floats_in_zero_to_one_are_no_black_picture():
    values = np.asarray(PICTURE).astype(np.float32)
    for image in (Image.fromarray(values / 255), Image.fromarray(values)):
        assert np.abs(grey(encode(image, "TIFF")) - values).max() <= 1


def tiff(samples: np.ndarray, white_is_zero: bool = False) -> bytes:
    """A grey TIFF of one strip, of any type of samples."""
    kind = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    tags = {256: samples.shape[1], 257: samples.shape[0], 258: samples.itemsize * 8, 259: 1, 262: int(not white_is_zero), 273: 8, 277: 1}
    tags |= {278: samples.shape[0], 279: samples.nbytes, 339: kind}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return struct.pack("<2sHI", b"II", 42, 8 + samples.nbytes) + samples.tobytes() + struct.pack("<H", len(tags)) + entries + bytes(4)


def cv2_encoded(samples: np.ndarray, form: str = ".png") -> bytes:
    return cv2.imencode(form, samples)[1].tobytes()


LEVELS = np.asarray(PICTURE)
FLOATS = LEVELS.astype(np.float32)


def marked(samples: np.ndarray, mark: float) -> np.ndarray:
    """The samples with a mark in the border, where the picture is black."""
    samples = samples.copy()
    samples[:8] = mark
    return samples


SAME = {  # what comes out to the level
    "floats in 0..1": tiff(FLOATS / 255),
    "floats in 0..255": tiff(FLOATS),
    "no number outside": tiff(marked(FLOATS, np.nan)),
    "infinite outside": tiff(marked(FLOATS, np.inf)),
    "below infinite outside": tiff(marked(FLOATS / 255, -np.inf)),
    "the lowest float outside": tiff(marked(FLOATS, np.finfo(np.float32).min)),
    "8 bits, white is zero": tiff(255 - LEVELS, white_is_zero=True),
    "16 bits": tiff(LEVELS.astype(np.uint16) * 257),
    "16 bits, white is zero": tiff(65535 - LEVELS.astype(np.uint16) * 257, white_is_zero=True),
    "16 bits, of which 8 are used": tiff(LEVELS.astype(np.uint16)),
    "floats, white is zero": tiff(1 - FLOATS / 255, white_is_zero=True),
    "no number outside, white is zero": tiff(marked(1 - FLOATS / 255, np.nan), white_is_zero=True),
    "16-bit colours": cv2_encoded(np.dstack([LEVELS.astype(np.uint16) * 257] * 3)),
    "16-bit colours in a TIFF": cv2_encoded(np.dstack([LEVELS.astype(np.uint16) * 257] * 3), ".tiff"),
    "16-bit colours and alpha": cv2_encoded(np.dstack([LEVELS.astype(np.uint16) * 257] * 3 + [np.full(LEVELS.shape, 65535, np.uint16)])),
}
TWELVE = LEVELS.astype(np.uint16) * 16
STRETCHED = {
    "z-scores": tiff((FLOATS - FLOATS.mean()) / FLOATS.std()),
    "floats beyond 0..1 by a filter": tiff(FLOATS / 250 - 0.02),
    "very small floats": tiff(FLOATS / 1e6),
    "signed from -1024": tiff(LEVELS.astype(np.int16) * 8 - 1024),
    "signed, the lowest outside": tiff(marked(LEVELS.astype(np.int16) * 8, -(2**15))),
    "32 bits": tiff(LEVELS.astype(np.int32) * 1000),
    "signed, stored with an offset": tiff(LEVELS.astype(np.uint16) * 4 + 2**15),
    "12 bits": cv2_encoded(TWELVE),
    "12 bits of colours": cv2_encoded(np.dstack([TWELVE] * 3)),
    "12 bits of colours in a TIFF": cv2_encoded(np.dstack([TWELVE] * 3), ".tiff"),
    "12 bits of colours and alpha": cv2_encoded(np.dstack([TWELVE] * 3 + [np.full(LEVELS.shape, 65535, np.uint16)])),
    "12 bits, white is zero": tiff(4095 - TWELVE, white_is_zero=True),
    "12 bits with hot pixels": tiff(np.where(np.arange(LEVELS.size).reshape(LEVELS.shape) % 5000 == 77, 65535, TWELVE).astype(np.uint16)),
}


@pytest.mark.parametrize("data", SAME.values(), ids=SAME)
def test_samples_of_a_known_range_keep_their_levels(data):
    assert np.abs(grey(data) - LEVELS).max() <= 1


@pytest.mark.parametrize("data", STRETCHED.values(), ids=STRETCHED)
def test_other_samples_are_stretched_to_the_whole_range(data):
    assert np.corrcoef(grey(data).ravel(), LEVELS.ravel())[0, 1] > 0.98
    assert np.percentile(grey(data), 99) > 200 and np.median(grey(data)[0]) <= 5, "bright where it was, and black outside"


def test_transparency_of_16_bits_is_black():
    alpha = np.full(LEVELS.shape, 65535, np.uint16)
    alpha[:, :60] = 0
    decoded = grey(cv2_encoded(np.dstack([LEVELS.astype(np.uint16) * 257] * 3 + [alpha])))
    assert decoded[:, :60].max() == 0 and np.abs(decoded[:, 60:] - LEVELS[:, 60:]).max() <= 1


@pytest.mark.parametrize("samples", [np.full((9, 9), np.nan, np.float32), np.full((9, 9), -(2**15), np.int16)])
def test_samples_without_a_value_are_no_picture(samples):
    with pytest.raises(Undecodable, match="^no pixel has a value$"):
        decode(open_image(tiff(samples), 50))


def test_a_picture_of_one_level_is_blank():
    for samples in (np.zeros((9, 9), np.float32), np.full((9, 9), 7.5, np.float32), np.full((9, 9), 300, np.uint16)):
        assert is_blank(grey(tiff(samples)))
    assert is_blank(np.stack([LEVELS, LEVELS // 100, LEVELS * 0 + 255])).tolist() == [False, True, True]


SEVERAL = {"save_all": True, "append_images": [smooth(1)]}


@pytest.mark.parametrize("form", ["TIFF", "GIF", "WEBP", "PNG"])
def test_a_stack_or_an_animation_is_not_taken_for_its_first_picture(form):
    with pytest.raises(Undecodable, match="^a stack or an animation of several pictures"):
        open_image(encode(PICTURE, form, **SEVERAL), 50)
    assert np.abs(grey(encode(PICTURE, form, save_all=True)) - LEVELS).mean() < 2


def test_previews_are_no_further_pictures():
    assert open_image(encode(PICTURE.convert("RGB"), "MPO", **SEVERAL), 50).size == PICTURE.size
    preview = encode(PICTURE, "TIFF", save_all=True, append_images=[PICTURE.resize((30, 35))], tiffinfo={254: 0})
    *before, after = preview.split(struct.pack("<HHII", 254, 4, 1, 0))
    assert len(before) == 2
    assert (
        open_image(before[0] + struct.pack("<HHII", 254, 4, 1, 0) + before[1] + struct.pack("<HHII", 254, 4, 1, 1) + after, 50).size
        == PICTURE.size
    )


def test_a_png_with_a_long_history_is_read():
    text = PngImagePlugin.PngInfo()
    text.add_text("history", "a" * 2_000_000, zip=True)
    assert (grey(encode(PICTURE, pnginfo=text)) == LEVELS).all()
    text.add_text("more", "a" * 100_000_000, zip=True)
    with pytest.raises(Undecodable, match="^more text than picture$"):
        grey(encode(PICTURE, pnginfo=text))


ISO_MEDIA = bytes(3) + b"\x18ftyp"
NOT_READ = {
    "DICOM": bytes(128) + b"DICM" + bytes(100), "NIfTI": struct.pack("<i", 348) + bytes(340) + b"n+1\0", "gzip": b"\x1f\x8b\x08" + bytes(99),
    "JPEG 2000": encode(PICTURE, "JPEG2000"), "HEIC or a video": ISO_MEDIA + b"heic" + bytes(99), "AVIF": ISO_MEDIA + b"avif" + bytes(99),
    "JPEG XL": b"\xff\x0a" + bytes(99), "a MATLAB file": b"MATLAB 5.0 MAT-file" + bytes(99), "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(99),
    "BigTIFF": b"II+\0" + bytes(99), "a TIFF of this kind": tiff(FLOATS.astype(np.float16)), "PDF": b"%PDF-1.7", "PGM": encode(PICTURE, "PPM"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_READ)
def test_a_picture_of_a_kind_that_is_not_read_is_called_by_its_name(name):
    with pytest.raises(Undecodable, match=f"^{name}, which is not read; convert it to PNG$"):
        open_image(NOT_READ[name], 50)


def test_formats_that_need_a_program_outside_are_refused():
    with pytest.raises(Undecodable, match="not an image"):
        open_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", 50)


def test_transparency_is_black():
    clear = PICTURE.convert("RGBA")
    clear.paste((255, 255, 255, 0), (0, 0, 60, 140))
    assert grey(encode(clear))[:, :60].max() == 0
    assert (grey(encode(clear))[:, 60:] == np.asarray(PICTURE)[:, 60:]).all()
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([255, 255, 255, 200, 200, 200])
    palette.paste(0, (0, 0, 10, 20))
    decoded = grey(encode(palette, transparency=0))
    assert decoded[:, :10].max() == 0 and decoded[:, 10:].min() == 200


@pytest.mark.parametrize("orientation, turn", [(3, 2), (6, -1), (8, 1)])
def test_exif_rotation_is_applied(orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = grey(encode(PICTURE, "JPEG", exif=exif, quality=95))
    upright = np.rot90(np.asarray(PICTURE), turn)
    assert decoded.shape == upright.shape and np.abs(decoded - upright).mean() < 2


def test_content_counts_not_the_name():
    assert open_image(encode(PICTURE, "PNG"), 50).format == "PNG"


@pytest.mark.parametrize("data", [b"", b"hello" * 100, b"<svg></svg>", b"\xff\xd8\xff", encode(PICTURE, "JPEG")[:20]])
def test_what_is_no_image_says_so(data):
    with pytest.raises(Undecodable, match="^not an image$"):
        open_image(data, 50)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_truncated_file_opens_but_does_not_decode(form):
    data = encode(PICTURE, form)
    with pytest.raises(Undecodable, match="^damaged: OSError$"):
        decode(open_image(data[: len(data) // 2], 50))


@pytest.mark.parametrize("width, height", [(60_000, 60_000), (10_000, 5001)])
def test_a_small_file_that_declares_a_huge_picture_is_refused_unread(width, height):
    data = png_header(width, height)
    assert len(data) < 200
    with pytest.raises(Undecodable, match="^too large$"):
        open_image(data, 50)


def test_the_limit_is_the_given_one():
    with pytest.raises(Undecodable, match="^too large$"):
        open_image(encode(PICTURE), 0.016)
    assert open_image(encode(PICTURE), 0.017).size == PICTURE.size


def test_reduced_decoding_keeps_enough_pixels_and_the_picture():
    large = smooth(1).resize((1200, 1400))
    reduced = decode(open_image(encode(large, "JPEG"), 50), at_least=256)
    assert reduced.size == (300, 350)
    one, other = squash(reduced, 64).astype(float), squash(large, 64).astype(float)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.999
    assert decode(open_image(encode(large, "PNG"), 50), at_least=256).size == large.size


def test_head_box_is_the_bright_part_without_specks():
    image = np.zeros((100, 80), np.uint8)
    image[20:90, 10:60] = 100
    image[5, 70] = 255
    assert head_box(Image.fromarray(image)) == (10, 20, 60, 90)
    assert head_box(Image.fromarray(image + 10)) == (10, 20, 60, 90), "noise of the border"
    assert head_box(Image.fromarray(np.zeros((100, 80), np.uint8))) == (0, 0, 80, 100)
    assert head_box(Image.fromarray(np.full((100, 80), 90, np.uint8))) == (0, 0, 80, 100)


def bright(pixels):
    rows, columns = np.flatnonzero((pixels > 128).any(1)), np.flatnonzero((pixels > 128).any(0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def test_three_geometries():
    picture = np.zeros((100, 60), np.uint8)
    picture[20:80, 15:45] = 255  # a head of 60 x 30 in a picture of 100 x 60
    image = Image.fromarray(picture)
    squashed, padded, head = (to_square(image, 40, geometry) for geometry in ("squash", "pad", "head"))
    assert {pixels.shape for pixels in (squashed, padded, head)} == {(40, 40)} and squashed.dtype == np.uint8
    assert np.abs(np.array(bright(squashed)) - (8, 32, 10, 30)).max() <= 1
    assert np.abs(np.array(bright(padded)) - (8, 32, 14, 26)).max() <= 1
    assert np.abs(np.array(bright(head)) - (0, 40, 10, 30)).max() <= 1
    assert head[:, :9].max() == 0 and padded[:, :7].max() == 0


@pytest.mark.parametrize("width, height", [(1, 500), (500, 1), (3, 3), (64, 64)])
def test_pad_copes_with_every_aspect(width, height):
    assert pad(Image.new("L", (width, height), 200), 32).max() == 200


def test_to_grey_leaves_grey_alone():
    assert (np.asarray(to_grey(Image.open(io.BytesIO(encode(PICTURE))))) == np.asarray(PICTURE)).all()


def test_bars_are_shares_of_the_side_top_bottom_left_right():
    pixels = np.zeros((3, 100, 100), np.uint8)
    pixels[0, 10:80, 30:95] = 200
    pixels[1] = 200
    assert bars(pixels) == pytest.approx(np.array([[0.1, 0.2, 0.3, 0.05], [0, 0, 0, 0], [1, 1, 1, 1]]))
