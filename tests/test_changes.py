"""Three changes of CONTRIBUTING.md, made in a copy: the files that it names are enough."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("latency_tables", "lut_server", "profiler_agent", "lgcnet_search", "published_networks", "street_scenes")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")

pytestmark = pytest.mark.process


class Copy:
    """The packages in a folder of their own; remembers which files were changed there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.changed: set[str] = set()
        for package in PACKAGES:
            shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))

    def write(self, path: str, text: str) -> None:
        """Add a file."""
        assert not (self.folder / path).exists()
        (self.folder / path).write_text(dedent(text).lstrip(), "utf-8")
        self.changed.add(path)

    def insert(self, path: str, before: str, text: str) -> None:
        """Put a text into a file, before one that is in it once."""
        content = (self.folder / path).read_text("utf-8")
        assert content.count(before) == 1, (path, before)
        (self.folder / path).write_text(content.replace(before, text + before), "utf-8")
        self.changed.add(path)

    def run(self, *command: str) -> str:
        """What a module or script of the copy prints."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder), "LUT_DATA_DIR": str(self.folder / "data")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def assert_only_documented(self, change: str, name: str) -> None:
        """The files that were changed are those that CONTRIBUTING.md names for this change."""
        (row,) = re.findall(rf"^\| {change} \|(.*)\|$", CONTRIBUTING, re.MULTILINE)
        documented = {path.replace("NAME", name) for path in re.findall(r"`([\w/]+\.py)`", row)}
        migrations = {path for path in self.changed if "/versions/" in path}
        plain = self.changed - migrations | {f"lut_server/migrations/versions/{name}.py" for _ in migrations}
        assert plain == documented


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_a_runtime_mode(copy: Copy) -> None:
    copy.write(
        "profiler_agent/runtimes/modes/eager_twin.py",
        '''
        """Mode `eager-twin`: eager PyTorch under another name."""

        from profiler_agent.runtimes.interface import ModeEntry, Ran
        from profiler_agent.runtimes.modes.pytorch import PyTorchMode

        ENTRY = ModeEntry(PyTorchMode, extra="agent", precisions={"cpu": ("fp32",)}, ran={"cpu": Ran("run", "")})
        ''',
    )
    copy.insert("latency_tables/contract/devices.py", '    "onnxruntime",\n', '    "eager-twin",\n')
    copy.assert_only_documented("a runtime mode", "eager_twin")

    assert "eager-twin" in copy.run("-m", "lgcnet_search", "profile", "--help")
    copy.run("-c", USE_MODE)


USE_MODE = """
import json
from typing import get_args
import torch
from fastapi.testclient import TestClient
from latency_tables.contract import Mode
from lut_server.app import create_app
from lut_server.migrations import upgrade
from lut_server.storage.database import Database

database = Database("sqlite:///lut.sqlite")
upgrade(database)
app = create_app(database)
assert "eager-twin" in json.dumps(app.openapi())
with TestClient(app, base_url="http://127.0.0.1") as http:
    answer = http.get("/v1/comparisons", params={"device": "x", "mode": get_args(Mode)})
    assert answer.status_code == 404, f"as many modes as there are can be compared: {answer.text}"

from profiler_agent.runtimes import mode

mode.MODES = {"eager-twin": mode.MODES["eager-twin"]}  # the doctor's table, of this mode only
able = {capability.precision: capability.reason for capability in mode.capabilities(torch.device("cpu"))}
assert able["fp32"] is None, able
"""


def test_a_rest_noun(copy: Copy) -> None:
    copy.write(
        "latency_tables/contract/notes.py",
        '''
        """Notes that people leave on devices."""

        from latency_tables.contract.base import Contract, Name, Text


        class Note(Contract):
            """A line of text under a name."""

            name: Name
            text: Text
        ''',
    )
    copy.insert(
        "latency_tables/contract/__init__.py",
        "from latency_tables.contract.specs import",
        "from latency_tables.contract.notes import Note\n",
    )
    copy.insert(
        "lut_server/storage/models.py",
        "class TokenRow(Base):",
        """class NoteRow(Base):
    __tablename__ = "notes"

    name: Mapped[str] = mapped_column(Word, primary_key=True)
    text: Mapped[str]


""",
    )
    migration = Path(copy.run("-m", "lut_server", "migrate", "--new", "notes").strip())
    assert "create_table('notes'" in migration.read_text("utf-8")
    copy.changed.add(f"{migration.parent.relative_to(copy.folder)}/notes.py")
    copy.write(
        "lut_server/storage/notes.py",
        '''
        """Notes by name."""

        from sqlalchemy.orm import Session

        from latency_tables.contract import Note
        from lut_server.storage.models import NoteRow


        def put(session: Session, note: Note) -> None:
            session.merge(NoteRow(name=note.name, text=note.text))


        def all_notes(session: Session) -> list[Note]:
            return [Note(name=row.name, text=row.text) for row in session.query(NoteRow)]
        ''',
    )
    copy.write(
        "lut_server/routes/notes.py",
        '''
        """Notes under their names."""

        from fastapi import APIRouter

        from latency_tables.contract import Note
        from lut_server.nouns import Noun
        from lut_server.problems import documented
        from lut_server.routes.state import Parts
        from lut_server.storage import notes

        NOUN = Noun("notes", tag="Notes that people leave on devices.", write="search")
        router = APIRouter(prefix="/notes", tags=[NOUN.name], responses=documented(422, 503))


        @router.get("", operation_id="list_notes", summary="All notes")
        def list_notes(parts: Parts) -> list[Note]:
            with parts.database.read() as session:
                return notes.all_notes(session)


        @router.put("/{name}", operation_id="put_note", summary="Store a note")
        def put_note(parts: Parts, name: str, note: Note) -> Note:
            with parts.database.write() as session:
                notes.put(session, note)
            return note
        ''',
    )
    copy.insert(
        "latency_tables/client/client.py",
        "    def job(self, id: UUID) -> Job:",
        '''    def put_note(self, note: Note) -> Note:
        """Store a note under its name."""
        return self._call(TypeAdapter(Note), "PUT", f"/v1/notes/{note.name}", note)

''',
    )
    copy.insert("latency_tables/client/client.py", "    NetworkRecord,\n", "    Note,\n")
    copy.assert_only_documented("a REST noun", "notes")
    copy.run("-c", USE_NOUN)


USE_NOUN = """
import subprocess, sys, time
from pathlib import Path
import httpx
from latency_tables.client import LutClient
from latency_tables.contract import Note

ready = Path("ready")
server = subprocess.Popen([sys.executable, "-m", "lut_server", "serve", "--port", "0", "--ready-file", str(ready)])
try:
    while not ready.exists():
        assert server.poll() is None
        time.sleep(0.05)
    url = ready.read_text().strip()
    note = Note(name="a", text="b")
    with LutClient(url, cache=False) as client:
        assert client.put_note(note) == note
    assert httpx.get(f"{url}/v1/notes", trust_env=False).json() == [{"name": "a", "text": "b"}]
    document = httpx.get(f"{url}/openapi.json", trust_env=False).json()
    assert "notes" in [tag["name"] for tag in document["tags"]]
    assert document["paths"]["/v1/notes/{name}"]["put"]["security"]
finally:
    server.kill()
"""


def test_a_data_set(copy: Copy) -> None:
    copy.write(
        "lgcnet_search/data/toytown.py",
        '''
        """Toytown: <root>/<split>/<name>.png with <root>/<split>_labels/<name>.png."""

        from pathlib import Path

        from lgcnet_search.data.labels import Label, LabelTable
        from lgcnet_search.data.segmentation import Files, folder, labelled

        LABELS = LabelTable("Toytown", (Label(0, "street", 0, (0, 0, 0)), Label(1, "house", 1, (255, 0, 0))))


        def list_files(root: Path, split: str) -> list[Files]:
            expected = f"{root}/{split}/<name>.png with {root}/{split}_labels/<name>.png"
            images, labels = folder(root / split, root, expected), folder(root / f"{split}_labels", root, expected)
            files = (Files(image, labels / image.name) for image in sorted(images.glob("*.png")))
            return labelled(files, images, expected)
        ''',
    )
    layouts = "lgcnet_search/data/layouts.py"
    sizes = 'held_out="val", size=(33, 65), crop=(33, 65)'
    entry = f'"toytown": Layout(labels=toytown.LABELS, files=toytown.list_files, {sizes}),'
    copy.insert(layouts, '    "camvid": Layout(', f"    {entry}\n")
    copy.insert(layouts, "from lgcnet_search.data.errors import", "from lgcnet_search.data import toytown\n")
    copy.assert_only_documented("a data set", "toytown")

    data = copy.folder / "pictures"
    for split in ("train", "val"):
        for folder, mode in ((split, "RGB"), (f"{split}_labels", "L")):
            (data / folder).mkdir(parents=True)
            for number in range(2):
                Image.new(mode, (65, 33), number if mode == "L" else (number * 200,) * 3).save(
                    data / folder / f"{number}.png"
                )
    genotype = str(copy.folder / "genotype.json")
    copy.run("-m", "lgcnet_search", "random", "--layout", "toytown", "--channels", "1", "--out", genotype)
    scores = copy.run(
        *("-m", "lgcnet_search", "finetune", genotype, "--layout", "toytown", "--data", str(data)),
        *("--epochs", "1", "--batch", "2", "--crop", "33x65", "--workers", "0", "--train-on", "cpu"),
        *("--out", str(copy.folder / "trained")),
    )
    assert "house" in scores
    assert "on 2 images of val" in scores
