import pytest

from service.api.addresses import client_of, parse_proxies, within


def test_a_list_of_proxies() -> None:
    proxies = parse_proxies(" 10.0.0.2, 172.16.0.0/12 ,fd00::/8,")
    assert within("10.0.0.2", proxies)
    assert within("172.20.1.1", proxies)
    assert within("fd00::1", proxies)
    assert within("::ffff:10.0.0.2", proxies), "an IPv4 client of an IPv6 socket"
    for host in ("10.0.0.3", "11.0.0.1", "::1", "", "proxy.example", "10.0.0.2, 1.2.3.4"):
        assert not within(host, proxies)
    assert within("8.8.8.8", parse_proxies("*"))
    assert parse_proxies("") == ()


@pytest.mark.parametrize("text", ["proxy.example", "10.0.0.1/8", "10.0.0", "10.0.0.0/33"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a proxy is an address or a network"):
        parse_proxies(text)


def test_clients_are_counted_by_what_they_cannot_choose() -> None:
    assert client_of("192.0.2.7") == "192.0.2.7"
    assert client_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert client_of("2001:db8:1:2::a") == client_of("2001:db8:1:2:ffff::b") == "2001:db8:1:2::/64"
    assert client_of("2001:db8:1:3::a") != client_of("2001:db8:1:2::a")
    assert client_of("fe80::1%eth0") == "fe80::/64"
    assert client_of("unknown") == client_of("_hidden") == client_of(None) == client_of("") == "unknown"
