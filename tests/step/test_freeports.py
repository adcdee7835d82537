"""Ports for ranks: nobody's now, and nobody's while a framework is loading, on this machine and in pods of either kind of network."""

from __future__ import annotations

import socket

import pytest

from fairway.spec.gang import Gang, World, join_address
from fairway.step import freeports
from fairway.step.freeports import answers, free_ports, is_free, ports_of_connections
from fairway.step.gangworld import with_ports


def test_no_connection_is_given_one_of_them() -> None:
    first, last = ports_of_connections()
    found = free_ports(50)
    assert len(set(found)) == 50
    assert [port for port in found if first <= port <= last] == []


def test_two_gangs_that_look_at_once_begin_at_different_ones() -> None:
    assert len({free_ports(1) for _ in range(20)}) > 1


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_INET6, "::")])
def test_a_port_that_somebody_listens_at_is_not_free_whatever_the_address(family: int, address: str) -> None:
    (port,) = free_ports(1)
    with socket.socket(family) as taken:
        taken.bind((address, port))
        taken.listen()
        assert not is_free(port)
    assert is_free(port)


def test_taken_ones_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)
    monkeypatch.setattr(freeports, "_PORTS", (range(port, min(port + 3, 65_536)),))
    with socket.socket() as taken:
        taken.bind(("", port))
        assert port not in free_ports(1)


def test_a_pod_with_an_address_of_ipv6_finds_ports_that_it_can_listen_at() -> None:
    world = with_ports(World(("::1", "::1"), ()), Gang(2, "torch", processes=2))
    assert [len(ports) for ports in world.ports] == [4, 4]
    assert len({port for ports in world.ports for port in ports}) == 8
    for port in world.ports[1]:
        with socket.create_server(("::1", port), family=socket.AF_INET6) as server:
            assert server.getsockname()[1] == port


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_who_listens_is_found_at_an_address_of_either_kind(host: str) -> None:
    (port,) = free_ports(1)
    assert not answers(join_address(host, port))
    with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
        assert answers(join_address(host, port))


def test_where_connections_are_given_all_ports_the_kernel_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freeports, "ports_of_connections", lambda: (1024, 65_535))
    found = free_ports(3)
    assert len(set(found)) == 3
    assert all(is_free(port) for port in found)


def test_a_kernel_that_does_not_say_is_thought_to_give_them_the_usual_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freeports, "_TOLD", "/nonexistent")
    assert ports_of_connections() == (32_768, 65_535)
    assert all(port < 32_768 for port in free_ports(5))


@pytest.mark.parametrize("given", [(32_768, 60_999), (1_024, 65_535), (25_000, 26_000), (15_000, 20_500), (64_000, 65_535), (10, 20)])
def test_each_port_that_no_connection_is_given_is_looked_at_once(monkeypatch: pytest.MonkeyPatch, given: tuple[int, int]) -> None:
    seen: list[int] = []
    monkeypatch.setattr(freeports, "ports_of_connections", lambda: given)
    monkeypatch.setattr(freeports, "is_free", seen.append)
    freeports.free_ports(1)
    first, last = given
    assert sorted(seen) == [port for port in (*range(20_000, 30_000), *range(61_000, 65_536)) if not first <= port <= last]
