"""The configuration: napari's example loads unchanged, and every mistake is told at once by its dotted path."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from octree_loader.config import Config, ConfigError, load_config, models, print_schema
from octree_loader.config.resolved import PoolConfig, resolve_cluster, resolve_pools
from octree_loader.scheduling.slot_sizes import SMALLEST_ARENA_BYTES
from octree_loader.transport import keys

# As it stands in napari's rendering guide, to the letter.
NAPARI_EXAMPLE = """{
    "loader_defaults": {
        "log_path": None,
        "force_synchronous": False,
        "num_workers": 10,
        "use_processes": False,
        "auto_sync_ms": 30,
        "delay_queue_ms": 100,
    },
    "octree": {
        "enabled": True,
        "tile_size": 256,
        "log_path": None,
        "loaders": {
            0: {"num_workers": 10, "delay_queue_ms": 100},
            2: {"num_workers": 10, "delay_queue_ms": 0},
        },
    },
}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, which is not the folder of any configuration file."""
    (tmp_path / "cwd").mkdir(mode=0o700)
    (tmp_path / "etc").mkdir(mode=0o700)
    monkeypatch.chdir(tmp_path / "cwd")
    return tmp_path / "etc"


def write(folder: Path, content: Any) -> Path:
    path = folder / "octree.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def mistakes(folder: Path, content: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(write(folder, content))
    assert caught.value.exit_code == 78
    assert all("\n" not in line and line in str(caught.value) for line in caught.value.mistakes)
    return caught.value.mistakes


# --- napari's format -------------------------------------------------------------------------------------------------


def test_naparis_example_loads_unchanged(folder: Path) -> None:
    config = load_config(write(folder, NAPARI_EXAMPLE))
    defaults, octree = config.loader_defaults, config.octree
    assert (defaults.log_path, defaults.force_synchronous, defaults.num_workers) == (None, False, 10)
    assert (defaults.use_processes, defaults.auto_sync_ms, defaults.delay_queue_ms) == (False, 30, 100)
    assert (octree.enabled, octree.tile_size, octree.log_path) == (True, 256, None)
    assert resolve_pools(config) == (
        PoolConfig(0, 10, False, 30, 100, "threads"),
        PoolConfig(2, 10, False, 30, 0, "threads"),
    )


def test_as_json_it_means_the_same(folder: Path) -> None:
    literal = load_config(write(folder, NAPARI_EXAMPLE))
    text = NAPARI_EXAMPLE.replace("None", "null").replace("False", "false").replace("True", "true")
    text = text.replace(",\n    }", "\n    }").replace(",\n        }", "\n        }").replace(",\n}", "\n}")
    text = text.replace("0: {", '"0": {').replace("2: {", '"2": {')
    json.loads(text)
    assert load_config(write(folder, text)) == literal


def test_auto_async_ms_is_accepted_with_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = {"loader_defaults": {"auto_async_ms": 7}, "octree": {"loaders": {"1": {"auto_async_ms": 9}}}}
    with caplog.at_level(logging.WARNING, "octree.config"):
        config = load_config(write(folder, content))
    assert config.loader_defaults.auto_sync_ms == 7
    assert [pool.auto_sync_ms for pool in resolve_pools(config)] == [9]
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "loader_defaults.auto_async_ms",
        "octree.loaders.1.auto_async_ms",
    ]


def test_both_spellings_at_once_are_a_mistake(folder: Path) -> None:
    (line,) = mistakes(folder, {"loader_defaults": {"auto_async_ms": 7, "auto_sync_ms": 8}})
    assert line.startswith("loader_defaults.auto_async_ms: ")


# --- defaults and pools ----------------------------------------------------------------------------------------------


def test_without_a_file_the_defaults_hold() -> None:
    config = load_config()
    assert config == Config()
    assert config.loader_defaults.load_timeout_ms == 60_000
    assert config.serve.bind == ()
    assert config.serve.name == "default"
    assert not config.serve.insecure
    assert config.datasets == {}
    assert resolve_pools(config) == (
        PoolConfig(0, 10, True, 30, 100, "processes"),
        PoolConfig(2, 10, True, 30, 0, "processes"),
    )


def test_a_changed_default_reaches_the_pools_that_do_not_override_it(folder: Path) -> None:
    config = load_config(write(folder, {"loader_defaults": {"delay_queue_ms": 40, "num_workers": 3}}))
    assert [(p.relative_level, p.num_workers, p.delay_queue_ms) for p in resolve_pools(config)] == [
        (0, 3, 40),
        (2, 3, 0),
    ]


def test_each_pool_overrides_what_it_names_and_they_are_sorted_by_level(folder: Path) -> None:
    loaders = {
        "10": {"num_workers": 1, "use_processes": True},
        "-1": {"auto_sync_ms": 0, "delay_queue_ms": 2.5},
        "2": {"num_workers": None},
    }
    content = {"loader_defaults": {"use_processes": False}, "octree": {"loaders": loaders}}
    assert resolve_pools(load_config(write(folder, content))) == (
        PoolConfig(-1, 10, False, 0, 2.5, "threads"),
        PoolConfig(2, 10, False, 30, 100, "threads"),
        PoolConfig(10, 1, True, 30, 100, "processes"),
    )


def test_no_loaders_are_one_pool_for_everything(folder: Path) -> None:
    config = load_config(write(folder, {"octree": {"loaders": {}}}))
    assert resolve_pools(config) == (PoolConfig(0, 10, True, 30, 100, "processes"),)


def test_force_synchronous_is_one_pool_without_delay(folder: Path) -> None:
    config = load_config(write(folder, {"loader_defaults": {"force_synchronous": True}}))
    assert resolve_pools(config) == (PoolConfig(0, 1, False, 30, 0, "synchronous"),)


# --- a cluster -------------------------------------------------------------------------------------------------------


def backends(folder: Path, content: object) -> list[str]:
    return [pool.backend for pool in resolve_pools(load_config(write(folder, content)))]


def test_with_a_scheduler_pools_load_with_dask_unless_they_say_otherwise(folder: Path) -> None:
    loaders = {"0": {}, "1": {"use_processes": False}, "2": {"backend": "processes"}, "3": {"backend": "dask"}}
    content = {"dask": {"scheduler": "tcp://127.0.0.1:8786"}, "octree": {"loaders": loaders}}
    assert backends(folder, content) == ["dask", "threads", "processes", "dask"]
    assert backends(folder, {"octree": {"loaders": loaders}}) == ["processes", "threads", "processes", "dask"]
    assert backends(folder, {**content, "loader_defaults": {"force_synchronous": True}}) == ["synchronous"]


def test_a_pool_takes_all_of_a_cluster_unless_it_says_how_many(folder: Path) -> None:
    content = {"dask": {"scheduler": "local"}, "octree": {"loaders": {"0": {}, "2": {"num_workers": 3}}}}
    cluster = resolve_cluster(load_config(write(folder, content)))
    assert cluster is not None
    assert cluster.workers_most[0] > 1000
    assert cluster.workers_most[1] == 3
    assert (cluster.settings.scheduler, cluster.fallback) == ("", False)
    assert cluster.settings.workers >= 1
    assert resolve_cluster(load_config()) is None


@pytest.mark.parametrize("scheduler", ["tcp://10.0.0.7:8786", "tcp://scheduler:8786"])
def test_another_machines_scheduler_needs_tls(folder: Path, scheduler: str) -> None:
    (line,) = mistakes(folder, {"dask": {"scheduler": scheduler}})
    assert line.startswith("dask.scheduler: ")
    assert "tls://" in line


def test_tls_needs_three_files_that_can_be_read(folder: Path) -> None:
    dask = {"scheduler": "tls://10.0.0.7:8786", "cert": "cert.pem"}
    assert [line.split(":")[0] for line in mistakes(folder, {"dask": dask})] == ["dask.ca", "dask.cert", "dask.key"]
    for name in ("ca", "cert", "key"):
        (folder / f"{name}.pem").write_text("")
    whole = {"scheduler": "tls://10.0.0.7:8786", **{name: f"{name}.pem" for name in ("ca", "cert", "key")}}
    cluster = resolve_cluster(load_config(write(folder, {"dask": whole})))
    assert cluster is not None
    assert cluster.settings.ca == str(folder / "ca.pem")


@pytest.mark.parametrize("scheduler", ["", "8786", "http://127.0.0.1:8786", "tcp://127.0.0.1", "tls://:1", 7])
def test_what_is_no_scheduler(folder: Path, scheduler: object) -> None:
    (line,) = mistakes(folder, {"dask": {"scheduler": scheduler}})
    assert line.startswith("dask.scheduler: is ")


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_config().octree.tile_size = 7  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "nbytes"),
    [(1 << 30, 1 << 30), ("1GiB", 1 << 30), ("1.5 gib", 3 << 29), ("512MB", 512 * 10**6), ("67108864", 1 << 26)],
)
def test_sizes_of_the_arena(folder: Path, given: object, nbytes: int) -> None:
    assert load_config(write(folder, {"memory": {"arena_bytes": given}})).memory.arena_bytes == nbytes


def test_an_arena_without_a_size_fits_what_is_free(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def half(configured: int | None, directory: str) -> int:
        assert configured is None
        asked.append(directory)
        return 123 << 20

    monkeypatch.setattr(models, "arena_bytes", half)
    assert load_config(write(folder, {"memory": {"directory": "."}})).memory.arena_bytes == 123 << 20
    assert asked[-1] == str(folder)

    def none(*_: object) -> int:
        raise MemoryError

    # That there is not even so much is found out, and said, when the segment is made.
    monkeypatch.setattr(models, "arena_bytes", none)
    assert load_config().memory.arena_bytes == SMALLEST_ARENA_BYTES


# --- paths and names -------------------------------------------------------------------------------------------------


def test_relative_paths_in_a_file_are_relative_to_its_folder(folder: Path) -> None:
    (folder / "pixel:art").touch()
    content = {
        "loader_defaults": {"log_path": "loads.log"},
        "octree": {"log_path": "~/octree.log"},
        "datasets": {
            "a": "../a.zarr",
            "b": {"source": "b.zarr", "level": 3},
            "c": "/c.zarr",
            "d": "https://example.org/d.zarr",
            "e": "package.module:factory",
            "f": "pixel:art",
            "g": "~/g.zarr",
        },
        "serve": {"bind": ["ipc://octree.sock", "tcp://127.0.0.1:*"]},
        "memory": {"directory": "."},
    }
    config = load_config(os.path.relpath(write(folder, content)))
    home = os.path.expanduser("~")
    assert config.loader_defaults.log_path == str(folder / "loads.log")
    assert config.octree.log_path == f"{home}/octree.log"
    assert config.memory.directory == str(folder)
    assert config.serve.bind == (f"ipc://{folder}/octree.sock", "tcp://127.0.0.1:*")
    assert {name: dataset.source for name, dataset in config.datasets.items()} == {
        "a": str(folder.parent / "a.zarr"),
        "b": str(folder / "b.zarr"),
        "c": "/c.zarr",
        "d": "https://example.org/d.zarr",
        "e": "package.module:factory",
        "f": str(folder / "pixel:art"),
        "g": f"{home}/g.zarr",
    }
    assert config.datasets["b"].options == {"level": 3}


def test_relative_paths_on_the_command_line_are_relative_to_the_working_directory(folder: Path) -> None:
    path = write(folder, {"datasets": {"a": "a.zarr", "b": "b.zarr"}, "serve": {"bind": ["ipc://file.sock"]}})
    config = load_config(path, ["b=other.zarr", "c=~/c.zarr"], ["ipc://mine.sock"])
    assert {name: dataset.source for name, dataset in config.datasets.items()} == {
        "a": str(folder / "a.zarr"),
        "b": f"{os.getcwd()}/other.zarr",
        "c": os.path.expanduser("~/c.zarr"),
    }
    assert config.serve.bind == (f"ipc://{os.getcwd()}/mine.sock",)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("scan.zarr", "scan"),
        ("deep/image.ome.zarr/", "image"),
        ("my scan.2024.zarr", "my scan.2024"),
        ("/data/a=b.zarr", "a=b"),
        ("https://example.org/x/embryo.zarr?version=3#top", "embryo"),
        ("s3://bucket", "bucket"),
        ("package.module:make_image", "make_image"),
        (".", "cwd"),
        ("/", "image"),
        ("a\nb.zarr", "a_b"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_source_without_a_name_is_called_after_its_file(source: str, name: str) -> None:
    assert list(load_config(None, [source]).datasets) == [name]


def test_names_made_up_are_unique_and_never_replace_another(folder: Path) -> None:
    path = write(folder, {"datasets": {"scan": "first.zarr"}})
    config = load_config(path, ["a/scan.zarr", "b/scan.zarr", "scan-3=c.zarr", "d/scan.zarr"])
    sources = {name: os.path.relpath(dataset.source) for name, dataset in config.datasets.items()}
    assert sources == {
        "scan": "../etc/first.zarr",
        "scan-2": "a/scan.zarr",
        "scan-3": "c.zarr",
        "scan-4": "b/scan.zarr",
        "scan-5": "d/scan.zarr",
    }


@pytest.mark.parametrize("arguments", [["=x"], ["a="], [""], ["a=1", "a=2"]])
def test_what_is_no_assignment_is_a_mistake(arguments: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, arguments)
    assert len(caught.value.mistakes) == 1
    assert "on the command line" in caught.value.mistakes[0]


# --- mistakes --------------------------------------------------------------------------------------------------------


def test_every_mistake_is_told_at_once(folder: Path) -> None:
    content = {
        "loader_default": {},
        "loader_defaults": {"num_workers": 0, "use_processes": "yes", "log_path": "/nowhere/x.log"},
        "octree": {"tilesize": 1, "loaders": {"a": {}, "0": {"num_worker": 3, "num_workers": "ten"}}},
        "datasets": {"b": {"level": 1}, "c": 5},
        "serve": {"bind": ["tcp://0.0.0.0:5", "http://x"], "name": "../x"},
        "memory": {"arena_bytes": "1 gigabyte", "directory": "/nowhere"},
    }
    found = mistakes(folder, content)
    assert sorted(line.partition(": ")[0] for line in found) == sorted(
        [
            "loader_default",
            "loader_defaults.num_workers",
            "loader_defaults.use_processes",
            "loader_defaults.log_path",
            "octree.tilesize",
            "octree.loaders.a",
            "octree.loaders.0.num_worker",
            "octree.loaders.0.num_workers",
            "datasets.b.source",
            "datasets.c",
            "serve.bind.0",
            "serve.bind.1",
            "serve.name",
            "memory.arena_bytes",
            "memory.directory",
        ]
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            {"loader_defaults": {"num_workers": 0}},
            "loader_defaults.num_workers: is 0; allowed is a whole number from 1 to 256",
        ),
        (
            {"loader_defaults": {"num_workers": True}},
            "loader_defaults.num_workers: is true; allowed is a whole number from 1 to 256",
        ),
        (
            {"loader_defaults": {"use_processes": 1}},
            "loader_defaults.use_processes: is 1; allowed is true or false",
        ),
        (
            {"loader_defaults": {"auto_sync_ms": "30"}},
            'loader_defaults.auto_sync_ms: is "30"; allowed is a number from 0 to 600000',
        ),
        (
            '{"loader_defaults": {"delay_queue_ms": NaN}}',
            "loader_defaults.delay_queue_ms: is NaN; allowed is a number from 0 to 600000",
        ),
        (
            {"loader_defaults": {"load_timeout_ms": 0}},
            "loader_defaults.load_timeout_ms: is 0; allowed is a number above 0, up to 86400000",
        ),
        (
            {"octree": {"tile_size": 4096}},
            "octree.tile_size: is 4096; allowed is a whole number from 16 to 2048",
        ),
        (
            {"octree": {"tile_sise": 256}},
            "octree.tile_sise: there is no such key; did you mean 'tile_size'?",
        ),
        (
            {"octree": {"loaders": {"65": {}}}},
            'octree.loaders.65: is "65"; allowed is a relative level, a whole number from -64 to 64',
        ),
        (
            {"octree": {"loaders": {"0": {"num_workers": 0}}}},
            "octree.loaders.0.num_workers: is 0; allowed is a whole number from 1 to 256 or null",
        ),
        ({"octree": None}, "octree: is null; allowed is an object"),
        (
            {"serve": {"port": 5}},
            "serve.port: there is no such key; allowed are name, bind, insecure, keys, clients, "
            "keys_on_loopback, compression, root, announce, health, health_exposed",
        ),
        ({"serve": {"bind": "ipc:///x"}}, 'serve.bind: is "ipc:///x"; allowed is a list'),
        (
            {"serve": {"bind": ["tcp://127.0.0.1:7", "tcp://127.0.0.1:7"]}},
            "serve.bind.1: 'tcp://127.0.0.1:7' stands there twice",
        ),
        (
            {"memory": {"arena_bytes": 4096}},
            f"memory.arena_bytes: is 4096; allowed is a whole number from {SMALLEST_ARENA_BYTES} to {1 << 46}",
        ),
        (
            {"memory": {"arena_bytes": "much"}},
            'memory.arena_bytes: is "much"; allowed is a number of bytes, or text such as "512MiB" or "1GiB"',
        ),
        ({"datasets": {"a.b": ""}}, 'datasets."a.b".source: is ""; allowed is text that is not empty'),
    ],
)
def test_a_mistake_names_the_key_what_was_given_and_what_is_allowed(folder: Path, content: Any, line: str) -> None:
    assert mistakes(folder, content) == [line]


def test_an_address_beyond_loopback_needs_keys_or_the_word_insecure(folder: Path) -> None:
    serve = {"bind": ["tcp://192.168.0.7:5555", "tcp://127.0.0.1:5555"], "keys": "keys"}
    (line,) = mistakes(folder, {"serve": serve})
    assert line.startswith("serve.bind.0: 'tcp://192.168.0.7:5555' can be reached from other machines and needs keys")
    assert "octree-serve keys" in line
    keys.main(["--folder", str(folder / "keys"), "--client", "alice"])
    assert load_config(write(folder, {"serve": serve})).serve.keys == str(folder / "keys")
    (folder / "keys" / "server.key").chmod(0o644)
    (line,) = mistakes(folder, {"serve": {**serve, "bind": ["tcp://127.0.0.1:5"], "keys_on_loopback": True}})
    assert "chmod 600" in line
    (line,) = mistakes(folder, {"serve": {"bind": ["tcp://192.168.0.7:5555"], "keys": "elsewhere"}})
    assert "serve.insecure" in line
    content = {"serve": {"bind": ["tcp://192.168.0.7:5555"], "insecure": True}}
    assert load_config(write(folder, content)).serve.bind == ("tcp://192.168.0.7:5555",)
    with pytest.raises(ConfigError, match="tcp://\\*:5555"):
        load_config(None, (), ["tcp://*:5555"])


def test_a_socket_lies_in_a_folder_that_is_closed_to_others(folder: Path) -> None:
    # Not below pytest's own folder, which is closed.
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        place = Path(name) / "inner"
        place.mkdir()
        content: dict[str, Any] = {"serve": {"bind": [f"ipc://{place}/d.sock"]}}
        assert load_config(write(folder, content))  # the folder above is closed
        Path(name).chmod(0o755)
        content["serve"]["bind"].append(f"ipc://{place}/nowhere/d.sock")
        first, second = mistakes(folder, content)
        assert "is open to others (mode 0755)" in first
        assert "No such file" in second
        content["serve"] |= {"bind": [f"ipc://{place}/d.sock"], "insecure": True}
        assert load_config(write(folder, content)).serve.insecure
        place.chmod(0o700)
        assert load_config(write(folder, {"serve": {"bind": [f"ipc://{place}/d.sock"]}}))


@pytest.mark.parametrize(
    ("serve", "line"),
    [
        ({"compression": "gzip"}, 'serve.compression: is "gzip"; allowed is "auto" or "none" or "lz4" or "zstd"'),
        ({"clients": ["short"]}, "serve.clients.0: it is no public key: one has 40 characters"),
        ({"root": "nowhere"}, "is not a folder that exists"),
    ],
)
def test_mistakes_in_serve(folder: Path, serve: Any, line: str) -> None:
    (found,) = mistakes(folder, {"serve": serve})
    assert line in found


def test_a_syntax_error_names_line_and_column(folder: Path) -> None:
    (line,) = mistakes(folder, '{\n  "octree": {\n    "tile_size" 256\n  }\n}\n')
    assert "octree.json: neither JSON (line 3, column 17: " in line
    assert "nor a Python literal (line 3, column " in line


@pytest.mark.parametrize("content", ["", "{", "[" * 100_000, "__import__('os')", "{'a': 1 + x}", "'\\d'", "\x00"])
def test_what_is_no_configuration_is_one_mistake(folder: Path, content: str) -> None:
    assert len(mistakes(folder, content)) == 1


@pytest.mark.parametrize("content", ["[]", "7", "null", "None", "{1, 2}"])
def test_what_is_no_object_is_one_mistake(folder: Path, content: str) -> None:
    (line,) = mistakes(folder, content)
    assert "allowed is an object of sections, loader_defaults, octree, datasets" in line


@pytest.mark.parametrize("quote", ['"', "'"])
def test_a_key_that_stands_twice_is_a_mistake(folder: Path, quote: str) -> None:
    text = '{"octree": {"tile_size": 256, "enabled": 1 == 1, "tile_size": 512}}'.replace("1 == 1", "true")
    if quote == "'":
        text = text.replace('"', "'").replace("true", "True")
    (line,) = mistakes(folder, text)
    assert "the key 'tile_size' stands twice" in line


def test_a_file_that_cannot_be_read_is_one_mistake(folder: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(folder / "nowhere.json")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(folder)
    (folder / "binary").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        load_config(folder / "binary")


def test_a_log_that_is_a_folder_is_a_mistake(folder: Path) -> None:
    assert mistakes(folder, {"octree": {"log_path": "."}}) == [
        f"octree.log_path: '{folder}' is a folder; allowed is a file, which is made if need be"
    ]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_KEYS = ["num_workers", "loaders", "bind", "log_path", "directory", "arena_bytes", "auto_async_ms", "a", "0", "source"]
_SECTIONS = [*Config.model_fields, "a"]


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.sampled_from(_SECTIONS), _VALUES | st.dictionaries(st.sampled_from(_KEYS), _VALUES)))
def test_any_content_is_a_configuration_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(content))
    found = None
    try:
        load_config(path)
    except ConfigError as error:
        found = error.mistakes
    assert found is None or found


# --- the schema and the page -----------------------------------------------------------------------------------------


def properties(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every key of a JSON Schema by its dotted path."""
    found: dict[str, dict[str, Any]] = {}

    def walk(part: dict[str, Any], path: str) -> None:
        while "$ref" in part:
            part = schema["$defs"][part["$ref"].rpartition("/")[2]]
        for name, inner in part.get("properties", {}).items():
            target = schema["$defs"][inner["$ref"].rpartition("/")[2]] if "$ref" in inner else {}
            found[f"{path}{name}"] = {**target, **inner}
            walk(inner, f"{path}{name}.")
        for inner in part.get("anyOf", []):
            walk(inner, path)
        if isinstance(part.get("additionalProperties"), dict):
            walk(part["additionalProperties"], f"{path}*.")

    walk(schema, "")
    return found


def test_the_schema_describes_every_key() -> None:
    found = properties(json.loads(print_schema()))
    assert {
        "loader_defaults.auto_sync_ms",
        "octree.loaders.*.num_workers",
        "datasets.*.source",
        "dask.scheduler",
    } <= set(found)
    assert [path for path, part in found.items() if not part.get("description")] == []


def test_the_page_names_every_key() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    for path in properties(json.loads(print_schema())):
        assert f"`{path}`" in page, f"docs/configuration.md does not tell of {path}"
