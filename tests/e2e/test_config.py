# SPDX-License-Identifier: BSD-2-Clause
"""Configuration errors, compared with what people should read."""

import glob
import json
import os
import subprocess

import pytest

from gateway import BUILD, base_config

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = sorted(os.path.basename(p)[:-5] for p in glob.glob(os.path.join(HERE, "bad-config", "*.yaml")))


@pytest.mark.parametrize("name", CASES)
def test_errors_as_expected(name):
    """bad-config/NAME.yaml gives bad-config/NAME.expected, word for word."""
    done = subprocess.run([os.path.join(BUILD, "rushgate"), "-t", "-c", name + ".yaml", "-p", "/tmp"],
                          cwd=os.path.join(HERE, "bad-config"), capture_output=True, text=True,
                          timeout=60)
    with open(os.path.join(HERE, "bad-config", name + ".expected")) as f:
        assert done.stderr == f.read()
    assert done.returncode == 1 and done.stdout == ""


def test_all_errors_at_once(make_gateway):
    gateway = make_gateway()
    text = "\n".join(f"bad_{i}: 1" for i in range(30)) + "\n"
    status, output = gateway.check_config(text, "many.yaml")
    assert status == 1
    assert output.count(": error: ") == 20, output  # at most 20, and it says so
    assert "many.yaml:20:1: error:" in output


def test_reference_and_schema():
    """The reference page and the JSON Schema come from the same table."""
    reference = subprocess.run([os.path.join(BUILD, "rushgate"), "--print-reference"],
                               capture_output=True, text=True, timeout=60)
    assert reference.returncode == 0 and "max_header_bytes" in reference.stdout
    schema = subprocess.run([os.path.join(BUILD, "rushgate"), "--print-json-schema"],
                            capture_output=True, text=True, timeout=60)
    assert "max_header_bytes" in json.dumps(json.loads(schema.stdout))


def test_dump_can_be_loaded_again(make_gateway):
    gateway = make_gateway()
    done = subprocess.run([os.path.join(BUILD, "rushgate"), "-T", "-c", gateway.file, "-p",
                           gateway.prefix], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "max_header_bytes" in done.stdout, done


def test_example_is_valid(make_gateway):
    """The file that is installed."""
    root = os.path.dirname(os.path.dirname(HERE))
    example = os.path.join(root, "etc", "rushgate.yaml")
    if not os.path.exists(example):
        pytest.skip("etc/rushgate.yaml is not here")
    gateway = make_gateway()
    with open(example) as f:
        text = f.read()
    text = text.replace("/usr/local/share/rushgate", os.path.join(BUILD, "proto"))
    text = text.replace("/usr/share/rushgate", os.path.join(BUILD, "proto"))
    status, output = gateway.check_config(text, "example.yaml")
    assert status == 0, output


@pytest.mark.parametrize("change, word", [
    ({"routes": [{"name": "a", "match": {"path": "/a"}, "respond": {}},
                 {"name": "a", "match": {"path": "/b"}, "respond": {}}]}, "a"),
    ({"routes": [{"name": "a", "match": {"path": "/a"}, "respond": {}},
                 {"name": "b", "match": {"path": "/a"}, "respond": {}}]}, "/a"),
    ({"routes": [{"name": "a", "match": {"path": "/a"}, "upstream": "nobody"}]}, "nobody"),
    ({"routes": [{"name": "a", "match": {"path": "/{"}, "respond": {}}]}, "/{"),
    ({"listen": [{"address": "nonsense"}]}, "nonsense"),
    ({"trusted_proxies": ["10.0.0.0/33"]}, "10.0.0.0/33"),
    ({"http": {"header_timeout": "5 bananas"}}, "bananas"),
    ({"http": {"max_body": "-1"}}, "-1"),
    ({"workers": 65}, "65"),
    ({"transcode": {"boxoffice": {"descriptor_set": "/does/not/exist.pb"}}}, "/does/not/exist.pb"),
    ({"upstreams": {"boxoffice": {"protocol": "carrier-pigeon"}}}, "carrier-pigeon"),
    ({"boxoffice": {"upstream": "nobody"}}, "nobody"),
])
def test_meaning_is_checked(make_gateway, change, word):
    from gateway import merge
    gateway = make_gateway()
    status, output = gateway.check_config(json.dumps(merge(base_config(), change), indent=1))
    assert status == 1 and word in output and ": error: " in output, output


def test_yaml_bombs_are_refused(make_gateway):
    gateway = make_gateway()
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30))
    status, output = gateway.check_config(bomb, "bomb.yaml")
    assert status == 1 and ": error: " in output
    loop = gateway.path("loop.yaml")
    status, output = gateway.check_config("include: [loop.yaml]\n", "loop.yaml")
    assert status == 1 and loop in output
