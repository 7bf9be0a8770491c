import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from synthetic import encode, smooth

from stages.pixels import Undecodable, bars, decode, head_box, open_image, pad, squash, to_grey, to_square

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
