# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures: gateways that are stopped and examined when their test is over."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from gateway import BUILD, Gateway, base_config, plain_config  # noqa: E402


def pytest_report_header():
    return f"rushgate build: {BUILD}"


@pytest.fixture
def make_gateway():
    """make_gateway(config, base=…): a gateway that is not started yet, with the box office."""
    made = []

    def make(config=None, base=None, text=None):
        gateway = Gateway(config, base, text)
        made.append(gateway)
        return gateway

    yield make
    for gateway in made:
        gateway.close()


@pytest.fixture
def gateway(make_gateway):
    """A gateway of its own, with the box office."""
    return make_gateway().start()


@pytest.fixture
def plain(make_gateway):
    """A gateway of its own, without the box office."""
    return make_gateway(base=plain_config()).start()


def _shared(base):
    gateway = Gateway(base=base)
    try:
        yield gateway.start()
    finally:
        gateway.close()


@pytest.fixture(scope="module")
def shared():
    """One gateway with the box office for the tests of a file, which must not disturb each other."""
    yield from _shared(base_config())


@pytest.fixture(scope="module")
def shared_plain():
    """One gateway without the box office for the tests of a file."""
    yield from _shared(plain_config())
