import hashlib
import json
import os
import tracemalloc
import unicodedata
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from synthetic import encode, set_params, smooth, write_archive

from stages.catalog import CATALOG, read_table
from stages.merge import scan
from stages.merge.__main__ import COLUMNS, main
from stages.merge.folders import read_folders
from stages.merge.progress import Progress
from stages.pixels import squash
from stages.sources import Folders

PICTURE = smooth(0)
pytestmark = pytest.mark.usefixtures("small_project")


def merged(members: dict[str, bytes], **params) -> pd.DataFrame:
    """The catalog, by member, of an archive of these members."""
    set_params(**params)
    write_archive("set", members)
    main()
    return read_table(CATALOG).set_index("member")


def rejected() -> dict[str, str]:
    return read_table("data/merged/rejected.csv").set_index("image_id").reason.to_dict()


def outputs() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for folder in ("data/merged", "metrics") for path in sorted(Path(folder).iterdir())}


def test_a_row_tells_what_is_stored_whatever_the_name_says():
    exif = Image.Exif()
    exif[0x0112] = 6
    catalog = merged({
        "Training/glioma/png.jpg": encode(PICTURE, "PNG"),
        "Testing/normal/palette.jpeg": encode(PICTURE.convert("P"), "PNG"),
        "Testing/notumor/rgba.png": encode(PICTURE.convert("RGBA")),
        "Training/notumor/CMYK.JPG": encode(PICTURE.convert("CMYK"), "JPEG"),
        "glioma/16bit": encode(Image.fromarray(np.asarray(PICTURE).astype(np.uint16) * 257)),
        "glioma/turned.jpg": encode(PICTURE.convert("RGB"), "JPEG", exif=exif),
    })  # fmt: skip
    assert catalog.reset_index().columns.tolist() == ["member", *(column for column in COLUMNS if column != "member")]
    assert catalog[["format", "mode"]].agg(" ".join, axis=1).to_dict() == {
        "Training/glioma/png.jpg": "PNG L", "Testing/normal/palette.jpeg": "PNG P", "Testing/notumor/rgba.png": "PNG RGBA",
        "Training/notumor/CMYK.JPG": "JPEG CMYK", "glioma/16bit": "PNG I;16", "glioma/turned.jpg": "JPEG RGB",
    }  # fmt: skip
    assert (catalog.width == 120).all() and (catalog.height == 140).all(), "as stored"
    assert catalog.image_id.is_monotonic_increasing and (catalog.image_id == "set/" + catalog.index).all()
    assert (
        catalog.sha256["glioma/16bit"] == hashlib.sha256(encode(Image.fromarray(np.asarray(PICTURE).astype(np.uint16) * 257))).hexdigest()
    )
    assert catalog.label.to_dict() == {member: "glioma" if "glioma" in member else "notumor" for member in catalog.index}
    assert catalog.published_split["Testing/notumor/rgba.png"] == "test" and catalog.published_split["glioma/16bit"] == ""

    thumbnails = np.load("data/merged/thumbnails.npy")
    assert thumbnails.shape == (6, 64, 64) and thumbnails.dtype == np.uint8
    for row, member in enumerate(catalog.index):
        upright = PICTURE.transpose(Image.Transpose.ROTATE_270) if "turned" in member else PICTURE
        assert np.corrcoef(thumbnails[row].ravel(), squash(upright, 64).ravel())[0, 1] > 0.995, member


@pytest.mark.parametrize("phantom", [None, {"patients_per_class": 5, "seed": 0}])
def test_the_registry_and_not_the_name_tells_a_demonstration(phantom):
    registry = yaml.safe_load(Path("data/sources.yaml").read_text(encoding="utf-8"))
    registry["set"]["archive"]["phantom"] = phantom
    Path("data/sources.yaml").write_text(yaml.safe_dump(registry), encoding="utf-8")
    merged({"glioma/a.png": encode(PICTURE)})
    assert json.loads(Path("data/merged/demonstration.json").read_text(encoding="utf-8")) == {"demonstration": phantom is not None}


def test_thumbnails_stand_in_the_order_of_the_catalog():
    pictures = {f"glioma/{number}.png": smooth(number) for number in range(70)}  # more than a chunk, and 10 sorts before 2
    catalog = merged({member: encode(image) for member, image in pictures.items()} | {"glioma/5x.png": b"broken"})
    thumbnails = np.load("data/merged/thumbnails.npy")
    assert len(catalog) == len(thumbnails) == 70
    for row, member in enumerate(catalog.index):
        assert (thumbnails[row] == squash(pictures[member], 64)).all()


def test_what_is_unusable_is_listed_with_its_reason_and_nothing_else_is_lost():
    good = encode(PICTURE, "JPEG")
    catalog = merged(
        {
            "glioma/a.jpg": good, "glioma/cut.jpg": good[: len(good) // 2], "glioma/notes.txt": b"hello", "glioma/empty.jpg": b"",
            "other/a.jpg": good, "loose.jpg": good, "glioma/large.png": encode(Image.new("L", (400, 400))),
        },
        merge__max_megapixels=0.1,
    )  # fmt: skip
    assert catalog.index.tolist() == ["glioma/a.jpg"]
    assert rejected() == {
        "set/glioma/cut.jpg": "damaged: OSError", "set/glioma/notes.txt": "not an image", "set/glioma/empty.jpg": "not an image",
        "set/other/a.jpg": "no label", "set/loose.jpg": "no label", "set/glioma/large.png": "too large",
    }  # fmt: skip
    metrics = json.loads(Path("metrics/merge.json").read_text())
    assert metrics["pictures"] == 1 and metrics["rejected"] == 6
    assert metrics["reasons"] == {"damaged: OSError": 1, "no label": 2, "not an image": 2, "too large": 1}
    assert metrics["labels"] == {"glioma": 1}


def test_stacks_are_rejected_and_blank_pictures_are_named(capsys):
    stack = encode(Image.new("L", (120, 140)), "TIFF", save_all=True, append_images=[smooth(0), smooth(1)])
    catalog = merged({"glioma/a.png": encode(PICTURE), "glioma/black.png": encode(Image.new("L", (90, 90))), "glioma/stack.tif": stack})
    assert catalog.index.tolist() == ["glioma/a.png", "glioma/black.png"]
    assert rejected() == {"set/glioma/stack.tif": "a stack or an animation of several pictures; save each as a file of its own"}
    assert "WARNING: 1 pictures are blank, all of one level: set/glioma/black.png. They are taken as pictures" in capsys.readouterr().out


def test_too_many_rejected_pictures_stop_the_pipeline_and_say_which():
    members = {"glioma/a.png": encode(PICTURE), "tumour/b.png": encode(PICTURE), "tumour/c.png": encode(PICTURE)}
    with pytest.raises(SystemExit) as exit:
        merged(members, merge__max_rejected=1)
    assert "2 pictures rejected" in exit.value.code and "merge.max_rejected allows 1" in exit.value.code
    assert "set/tumour/b.png: no label" in exit.value.code and "data/sources.yaml" in exit.value.code
    assert len(merged(members, merge__max_rejected=2)) == 1


def test_nothing_left_stops_the_pipeline_too():
    with pytest.raises(SystemExit, match="1 pictures rejected, 0 left"):
        merged({"tumour/b.png": encode(PICTURE)})


def test_archives_without_a_picture_stop_the_pipeline_too():
    with pytest.raises(SystemExit, match="hold no files but annotations.csv; check them and data/sources.yaml"):
        merged({"annotations.csv": b"sha256,patient,plane\n"})


def test_an_unknown_source_is_one_line_and_costs_no_archive():
    write_archive("set", {"glioma/a.png": encode(PICTURE)})
    set_params(data__sources=["sett"])
    with pytest.raises(SystemExit, match="'sett' is not in data/sources.yaml"):
        main()
    assert Path("data/raw/set.zip").exists()


def test_the_nearest_folder_names_the_class():
    folders = Folders(labels={"glioma": ["glioma"], "notumor": ["No Tumor", "normal"]}, published={"train": ["training"], "test": ["test"]})
    members = ["glioma/normal/a.jpg", "Test/NORMAL/glioma/a.jpg", "training/no tumor/deep/er/a.jpg", "x/glioma.jpg", "glioma_2/a.jpg"]
    table = read_folders(pd.DataFrame({"source": "set", "member": members, "reason": ["", "", "", "", "not an image"]}), folders, ())
    assert table.label.tolist() == ["notumor", "glioma", "notumor", "", ""]
    assert table.published_split.tolist() == ["", "test", "train", "", ""]
    assert table.reason.tolist() == ["", "", "", "no label", "not an image"]
    assert (table.augmented_from == "").all()


def test_names_of_folders_are_the_same_in_any_form_of_unicode_and_blanks():
    folders = Folders(labels={"meningioma": ["méningiome"], "notumor": ["No Tumor"]}, published={"test": ["Prüfung"]})
    members = [f"{unicodedata.normalize(form, 'Prüfung/MÉNINGIOME')}/{form}.jpg" for form in ("NFC", "NFD")]
    members += ["no\u00a0tumor/a.jpg", " No  Tumor /a.jpg"]
    table = read_folders(pd.DataFrame({"source": "set", "member": members, "reason": ""}), folders, ())
    assert table.label.tolist() == ["meningioma"] * 2 + ["notumor"] * 2
    assert table.published_split.tolist() == ["test"] * 2 + [""] * 2


def test_a_class_without_a_picture_is_named_with_the_folders_that_no_class_has(capsys):
    merged({"glioma/a.png": encode(PICTURE), "Training/No-Tumor/b.png": encode(smooth(1))})
    assert (
        "WARNING: set has no picture of notumor (folders notumor, normal in data/sources.yaml); "
        "without a label are the pictures in Training/No-Tumor\n"
    ) in capsys.readouterr().out


def test_a_class_of_which_all_is_rejected_is_an_error_however_few_they_are():
    with pytest.raises(SystemExit, match="^set: all 2 pictures of notumor are rejected, so that the class would be missing"):
        merged({"glioma/a.png": encode(PICTURE), "normal/b.png": b"x", "normal/c.png": b"y"}, merge__max_rejected=20)


def test_classes_that_look_the_same_are_one_line():
    set_params(data__labels={"notumor": "Glioma"})
    with pytest.raises(SystemExit, match="the classes 'Glioma' and 'glioma' only differ in case, blanks or form of Unicode"):
        merged({"glioma/a.png": encode(PICTURE)})


def test_augmented_copies_know_their_original():
    picture = encode(PICTURE)
    members = ["glioma/a.jpg", "glioma/a_HF_.jpg", "glioma/a_BR_.jpg", "glioma/a_b.jpg", "glioma/lost_HF_.jpg"]
    catalog = merged(dict.fromkeys(members, picture))
    assert catalog.augmented_from.to_dict() == {
        "glioma/a.jpg": "", "glioma/a_HF_.jpg": "set/glioma/a.jpg", "glioma/a_BR_.jpg": "set/glioma/a.jpg", "glioma/a_b.jpg": "",
        "glioma/lost_HF_.jpg": "",
    }  # fmt: skip
    assert json.loads(Path("metrics/merge.json").read_text())["sources"]["set"]["augmented"] == 2


@pytest.mark.parametrize("patients", [("P1", "P2", ""), ("007", "12", "13")])
def test_annotations_come_from_the_project_and_from_the_archive(patients):
    files = {f"glioma/{number}.png": encode(smooth(number)) for number in range(3)}
    sha = [hashlib.sha256(data).hexdigest() for data in files.values()]
    Path("data/annotations.csv").write_text(f"sha256,patient,plane\n{sha[0]},{patients[0]},axial\n{'0' * 64},other,axial\n")
    shipped = f"sha256,patient,plane\n{sha[0]},wrong,coronal\n{sha[1]},{patients[1]},\n{sha[2]},{patients[2]},sagittal\n"
    catalog = merged(files | {"annotations.csv": shipped.encode()})
    assert catalog.patient.tolist() == list(patients)
    assert catalog.plane.tolist() == ["axial", "", "sagittal"]
    assert rejected() == {}
    annotated = json.loads(Path("metrics/merge.json").read_text())["annotated"]
    assert annotated == {"patient": sum(map(bool, patients)), "plane": 2, "tumour_area": 0, "slice": 0}


FOUR = {f"{label}/{n}.png": encode(smooth(10 * k + n)) for k, label in enumerate(("glioma", "normal")) for n in range(2)}
PATIENTS = "sha256,patient,plane\n" + "".join(f"{hashlib.sha256(data).hexdigest()},p{n},axial\n" for n, data in enumerate(FOUR.values()))
SHOUTED = PATIENTS.replace("\n", "\r\n").swapcase().replace("P", "p")
SHIPPED = {
    "in the folder that wraps all": {f"my-set/{name}": data for name, data in FOUR.items()} | {"my-set/annotations.csv": PATIENTS.encode()},
    "two folders deep": {f"a/b/{name}": data for name, data in FOUR.items()} | {"a/b/annotations.csv": PATIENTS.encode()},
    "named otherwise": FOUR | {"tables/patients (1).CSV": PATIENTS.encode()},
    "in capitals": FOUR | {"ANNOTATIONS.CSV": PATIENTS.encode()},
    "with digests and columns in capitals": FOUR | {"annotations.csv": SHOUTED.encode()},
    "with blanks and a mark of the encoding": FOUR | {"annotations.csv": b"\xef\xbb\xbf" + PATIENTS.replace(",", " , ").encode()},
}


@pytest.mark.parametrize("members", SHIPPED.values(), ids=SHIPPED)
def test_a_set_s_own_annotations_are_found_wherever_they_are(members, capsys):
    catalog = merged(members)
    assert sorted(catalog.patient) == ["p0", "p1", "p2", "p3"] and (catalog.plane == "axial").all() and rejected() == {}
    assert "4 of 4 rows are of pictures here" in capsys.readouterr().out


def test_a_set_s_own_annotations_that_match_no_picture_are_an_error():
    other = "sha256,patient,plane\n" + "".join(f"{n:064x},p{n},axial\n" for n in range(3))
    with pytest.raises(SystemExit, match="set.zip: annotations.csv: none of its 3 rows has the sha256 of a picture here") as exit:
        merged(FOUR | {"annotations.csv": other.encode()})
    assert "\n" not in exit.value.code
    Path("data/annotations.csv").write_text(PATIENTS + other.split("\n", 1)[1])
    assert (merged(FOUR | {"annotations.csv": PATIENTS.encode()}).patient != "").all(), "both say the same"


def test_the_project_s_tables_say_how_much_of_them_counts(capsys):
    Path("data/annotations.csv").write_text(PATIENTS + f"{0:064x},p9,axial\n")
    Path("data/corrections.csv").write_text(f"sha256,label\n{0:064x},glioma\n")
    merged(FOUR)
    printed = capsys.readouterr().out
    assert "data/annotations.csv: 4 of 5 rows are of pictures here" in printed
    assert "data/corrections.csv: 0 of 1 rows are of pictures here" in printed


def test_a_set_s_own_corrections_count_and_the_project_s_overrule_them():
    digests = [hashlib.sha256(FOUR[f"normal/{n}.png"]).hexdigest() for n in range(2)]
    shipped = "SHA256,Label\n" + "".join(f"{digest.upper()},glioma\n" for digest in digests)
    Path("data/corrections.csv").write_text(f"sha256,label\n{digests[1]},exclude\n")
    catalog = merged(FOUR | {"Corrections.csv": shipped.encode()})
    assert catalog.label.to_dict() == {"glioma/0.png": "glioma", "glioma/1.png": "glioma", "normal/0.png": "glioma"}
    with pytest.raises(SystemExit, match="corrections.csv: none of its 1 rows has the sha256"):
        merged(FOUR | {"corrections.csv": f"sha256,label\n{0:064x},glioma\n".encode()})


def test_another_table_in_a_folder_is_no_annotation():
    merged(FOUR | {"boxes/annotations.csv": b"file,x,y\na.png,1,2\n", "boxes/list.csv": b""})
    assert rejected() == {"set/boxes/annotations.csv": "not an image", "set/boxes/list.csv": "not an image"}


def test_areas_of_masks_come_with_the_annotations_where_there_are_any():
    files = {f"glioma/{number}.png": encode(smooth(number)) for number in range(3)}
    sha = [hashlib.sha256(data).hexdigest() for data in files.values()]
    Path("data/annotations.csv").write_text(f"sha256,patient,plane\n{sha[0]},P1,axial\n")
    shipped = f"sha256,patient,plane,tumour_area,slice\n{sha[1]},,,0.0125,\n{sha[2]},,axial,,007\n"
    catalog = merged(files | {"annotations.csv": shipped.encode()})
    assert catalog.tumour_area.tolist() == ["", "0.0125", ""] and catalog["slice"].tolist() == ["", "", "007"]
    assert json.loads(Path("metrics/merge.json").read_text())["annotated"]["tumour_area"] == 1


@pytest.mark.parametrize("area", ["large", "1.5", "-0.1", "nan"])
def test_an_area_that_is_no_share_is_named(area):
    Path("data/annotations.csv").write_text(f"sha256,patient,plane,tumour_area\na,1,axial,0.5\nb,2,axial,{area}\n")
    with pytest.raises(SystemExit, match=f"data/annotations.csv: '{area}' is no tumour_area; it is the share of the picture, 0 to 1"):
        merged({"glioma/a.png": encode(PICTURE)})


def test_numeric_patients_alone_are_text_too():
    data = encode(PICTURE)
    Path("data/annotations.csv").write_text(f"sha256,patient,plane\n{hashlib.sha256(data).hexdigest()},007,axial\n")
    catalog = merged({"glioma/a.png": data, "glioma/b.png": encode(smooth(1))})
    assert catalog.patient.tolist() == ["007", ""]


def register_another(name: str) -> None:
    registry = yaml.safe_load(Path("data/sources.yaml").read_text())
    Path("data/sources.yaml").write_text(yaml.safe_dump(registry | {name: registry["set"]}))


def test_archives_of_another_choice_of_sources_are_removed():
    register_another("left")
    for name in ("left.zip", "left.json", "set.json", "set.zip.part", ".DS_Store"):
        (Path("data/raw") / name).write_text("{}")
    merged({"glioma/a.png": encode(PICTURE)})
    assert sorted(path.name for path in Path("data/raw").iterdir()) == [".DS_Store", "set.json", "set.zip", "set.zip.part"]


@pytest.mark.parametrize("name", ["mine.zip", "mine.json", "notes.txt", "set.csv", "pictures/a.png"])
def test_what_download_did_not_write_is_refused_and_stays(name):
    """The folder is an input: its hash would go into dvc.lock with the file in it."""
    register_another("left")
    for path in (Path("data/raw/left.zip"), Path("data/raw") / name):
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    with pytest.raises(SystemExit) as exit:
        merged({"glioma/a.png": encode(PICTURE)})
    assert exit.value.code.startswith(f"data/raw/{name.split('/')[0]} is no archive of a source in data/sources.yaml; move it")
    assert "\n" not in exit.value.code and "BRAIN_MRI_MIRROR" in exit.value.code
    assert (Path("data/raw") / name).exists() and Path("data/raw/left.zip").exists() and not CATALOG.exists()


def test_same_input_gives_the_same_bytes(monkeypatch):
    members = {f"{'glioma' if n % 2 else 'normal'}/{n}.jpg": encode(smooth(n), "JPEG") for n in range(70)} | {"glioma/x.jpg": b"x"}
    merged(members)
    first = outputs()
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    merged(members)
    assert outputs() == first and set(first) == {
        "data/merged/catalog.csv", "data/merged/demonstration.json", "data/merged/rejected.csv", "data/merged/thumbnails.npy",
        "metrics/merge.json",
    }  # fmt: skip


BAD_TABLES = {
    "no UTF-8": b"sha256,label,patient,plane\n\xe4,glioma,1,axial\n",
    "ragged": b"sha256,label,patient,plane\na\nb,glioma,1,axial,2,3\n",
    "empty": b"",
    "with semicolons": b"sha256;label;patient;plane\na;glioma;1;axial\n",
}


@pytest.mark.parametrize("content", BAD_TABLES.values(), ids=BAD_TABLES)
@pytest.mark.parametrize("where", ["data/corrections.csv", "data/annotations.csv", "the archive"])
def test_a_table_that_somebody_handed_in_and_is_none_is_one_line(where, content):
    members = {"glioma/a.png": encode(PICTURE)}
    if where == "the archive":
        members["annotations.csv"] = content
    else:
        Path(where).write_bytes(content)
    with pytest.raises(SystemExit, match="annotations.csv|corrections.csv") as exit:
        merged(members)
    assert "separated by commas, with the columns sha256, " in exit.value.code and "\n" not in exit.value.code


def test_a_spreadsheet_s_corrections_are_read():
    digest = hashlib.sha256(encode(PICTURE)).hexdigest()
    Path("data/corrections.csv").write_bytes(f"\ufeffsha256,label\r\n{digest},notumor\r\n".encode())
    assert merged({"glioma/a.png": encode(PICTURE), "glioma/b.png": encode(smooth(1))}).label["glioma/a.png"] == "notumor"


def test_an_unknown_plane_is_named():
    Path("data/annotations.csv").write_text("sha256,patient,plane\na,1,oblique\n")
    with pytest.raises(SystemExit, match="'oblique' is no plane; there are axial, coronal, sagittal"):
        merged({"glioma/a.png": encode(PICTURE)})


def test_what_is_reduced_from_a_picture_and_from_none():
    row, thumbnail = scan._decode(encode(PICTURE), 50)
    assert row == (120, 140, "L", "PNG", "")
    assert (thumbnail == squash(PICTURE, 64)).all()
    row, thumbnail = scan._decode(b"x", 50)
    assert row == (0, 0, "", "", "not an image") and not thumbnail.any()


@pytest.fixture
def decoded(monkeypatch):
    """What counts the pictures that were decoded since it was asked before, in whatever process."""
    decode, log = scan._decode, Path("decoded.txt").absolute()

    def counted(data, max_megapixels):
        with log.open("a") as file:
            file.write("x")
        return decode(data, max_megapixels)

    def count() -> int:
        found = len(log.read_text())
        log.write_text("")
        return found

    monkeypatch.setattr(scan, "_decode", counted)
    return count


def test_byte_identical_files_are_decoded_once(decoded):
    pictures = [encode(smooth(n)) for n in range(70)]
    catalog = merged({f"{label}/{n}.png": picture for label in ("glioma", "normal") for n, picture in enumerate(pictures)})
    assert decoded() == 70
    thumbnails = dict(zip(catalog.index, np.load(CATALOG.with_name("thumbnails.npy")), strict=True))
    for n in range(70):
        assert (thumbnails[f"glioma/{n}.png"] == thumbnails[f"normal/{n}.png"]).all()
        assert (thumbnails[f"glioma/{n}.png"] == squash(smooth(n), 64)).all()


def test_a_run_that_was_cut_off_goes_on_where_it_was(decoded, monkeypatch, capsys):
    members = {f"glioma/{n}.png": encode(smooth(n)) for n in range(150)} | {"glioma/x.png": b"x"}
    merged(members)
    expected, parts = outputs(), sorted(Path("data").iterdir())
    assert decoded() == 151

    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    left, add = 2, Progress.add

    def cut_off(self, rows):
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        add(self, rows)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Progress, "add", cut_off)
        merged(members)
    decoded(), capsys.readouterr()
    merged(members)
    done = 2 * scan.CHUNK
    assert decoded() == 151 - done and f"goes on after {done} pictures" in capsys.readouterr().out
    assert outputs() == expected and sorted(Path("data").iterdir()) == parts


def test_the_catalog_does_not_depend_on_how_many_rows_are_in_memory(monkeypatch):
    members = {f"{'other' if n % 7 == 0 else 'glioma'}/{n}.png": b"x" if n % 5 == 0 else encode(smooth(n)) for n in range(40)}
    shipped = "".join(f"{hashlib.sha256(data).hexdigest()},{n},axial\n" for n, data in enumerate(members.values()))
    members["annotations.csv"] = f"sha256,patient,plane\n{shipped}".encode()
    merged(members)
    expected = outputs()
    monkeypatch.setattr("stages.merge.__main__.ROWS", 3)
    monkeypatch.setattr("stages.merge.given.ROWS", 3)
    merged(members)
    assert outputs() == expected


def test_memory_does_not_grow_with_the_members(tmp_path):
    def peak(count: int) -> int:
        members = (("set", f"glioma/{n:08}.png", n, 100, n % 1000) for n in range(count))
        tracemalloc.start()
        with closing(Progress(tmp_path / str(count), b"", 8, members)) as progress:
            for chunk in progress.left(64):
                progress.add([(row, f"{row:064}", 8, 8, "L", "PNG", "") for row, *_ in chunk])
            assert sum(map(len, progress.parts(1000))) == count
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1000)  # what is loaded and kept once
    assert peak(20_000) - peak(2000) < 20 * 18_000  # bytes a member; what zipfile keeps of one is more than 500


def test_what_was_read_of_other_archives_is_not_used(decoded, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Progress, "parts", Mock(side_effect=KeyboardInterrupt))
        merged({"glioma/a.png": encode(PICTURE)})
    assert decoded() == 1
    catalog = merged({"glioma/a.png": encode(smooth(1))})
    assert decoded() == 1 and catalog.sha256["glioma/a.png"] == hashlib.sha256(encode(smooth(1))).hexdigest()


def test_rejected_pictures_leave_no_gap_in_the_thumbnails(monkeypatch):
    monkeypatch.setattr("stages.merge.__main__.BLOCK", 3)
    catalog = merged({f"glioma/{n:02}.png": b"x" if n in (0, 4, 9) else encode(smooth(n)) for n in range(10)})
    thumbnails = np.load(CATALOG.with_name("thumbnails.npy"))
    assert [int(name[7:9]) for name in catalog.index] == [1, 2, 3, 5, 6, 7, 8]
    assert all((thumbnail == squash(smooth(int(name[7:9])), 64)).all() for name, thumbnail in zip(catalog.index, thumbnails, strict=True))
