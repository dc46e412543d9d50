# SPDX-License-Identifier: BSD-2-Clause
"""What `make install` puts down."""

import os
import re
import subprocess

import pytest
from gateway import BUILD


@pytest.mark.skipif(not os.path.exists(os.path.join(BUILD, "Makefile")), reason="not a build directory")
def test_links_between_installed_documents_lead_somewhere(tmp_path):
    done = subprocess.run(["make", "-s", "-C", BUILD, "install-data", f"DESTDIR={tmp_path}"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = sorted(tmp_path.rglob("*.md"))
    assert {"README.md", "operations.md", "benchmarks.md"} <= {p.name for p in pages}
    links = [(page, target) for page in pages
             for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()) if "://" not in target]
    assert len(links) > 20
    broken = [f"{page.name}: {target}" for page, target in links if not (page.parent / target).exists()]
    assert not broken, broken
    # And what systemd tells an operator to read.
    for unit in tmp_path.rglob("rushgate.service"):
        (file,) = re.findall(r"^Documentation=file:(\S+)$", unit.read_text(), re.MULTILINE)
        assert (tmp_path / file.lstrip("/")).exists(), file
