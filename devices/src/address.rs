//! Which addresses of the network a name may lead to.
//!
//! A pattern for origins speaks of names, and whoever serves the name decides where it leads: to this machine, a router,
//! a cloud's metadata. So a host that sees addresses asks here for each one that it is about to use,
//! after resolution. Only addresses of the public internet are let through, and what a grant names: the literal address
//! of an origin, `localhost`, a range (`network=`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use capfs::{MaybeSend, MaybeSync};
use ipnet::IpNet;

use crate::grant::{GrantError, Term};
use crate::origin::{Origin, OriginPattern};

/// Decides on addresses; hosts ask it about each that they would connect to.
pub trait Addresses: MaybeSend + MaybeSync + 'static {
    /// Whether a connection for `origin` may go to `address`.
    fn allowed(&self, origin: &Origin, address: IpAddr) -> bool;
}

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`, or one address.
///
/// IPv6 addresses that stand for IPv4 ones are those ([`destination`]), in a range as in what is compared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Reads the value of a term.
    ///
    /// # Errors
    /// [`GrantError::Value`]
    pub fn from_term(term: &Term) -> Result<Network, GrantError> {
        Network::parse(&term.value).ok_or_else(|| {
            term.expected("expected addresses, such as 10.0.0.0/8, fd00::/8 or 192.168.1.7")
        })
    }

    fn parse(text: &str) -> Option<Network> {
        let network = match text.contains('/') {
            true => text.parse::<IpNet>().ok()?,
            false => text.parse::<IpAddr>().ok()?.into(),
        };
        let stands_for = (destination(network.addr()), network.prefix_len());
        let network = match stands_for {
            // The four bytes of the IPv4 address are the last of sixteen.
            (IpAddr::V4(base), prefix) if network.addr().is_ipv6() && prefix >= 96 => {
                IpNet::new(base.into(), prefix - 96).ok()?
            }
            _ => network,
        };
        Some(Network(network.trunc()))
    }

    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&destination(address))
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a grant with these origins and networks lets a connection for `origin` go to `address`.
pub fn granted(
    origins: &[OriginPattern],
    networks: &[Network],
    origin: &Origin,
    address: IpAddr,
) -> bool {
    if is_public(address) || networks.iter().any(|network| network.contains(address)) {
        return true;
    }
    let named = origins
        .iter()
        .any(|pattern| pattern.matches(origin) && pattern.names_host(&origin.host));
    let itself = match origin.host.as_str() {
        // Whoever answers for the name: no other address than this machine's.
        "localhost" => destination(address).is_loopback(),
        literal => literal
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|literal| literal == address),
    };
    named && itself
}

/// Where a packet to this address ends up: an IPv6 address that stands for an IPv4 one is that one.
fn destination(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return IpAddr::V4(v4);
    }
    // NAT64 (RFC 6052): the network's own translator sends it to the IPv4 address in the last four bytes.
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => address,
    }
}

/// Whether an address is one of the public internet: globally reachable by the registries of special addresses of
/// [IPv4](https://www.iana.org/assignments/iana-ipv4-special-registry) and
/// [IPv6](https://www.iana.org/assignments/iana-ipv6-special-registry), and not a multicast one.
pub fn is_public(address: IpAddr) -> bool {
    match destination(address) {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        // This network, private, loopback.
        [0 | 10 | 127, ..] => true,
        // Shared between a provider's customers.
        [100, second, ..] => second & 0xc0 == 64,
        // Link-local: a cloud's metadata is here.
        [169, 254, ..] => true,
        [172, second, ..] => second & 0xf0 == 16,
        // Protocol assignments, documentation, relays of 6to4, private.
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [192, 168, ..] => true,
        // Benchmarks, documentation.
        [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => true,
        // Multicast, reserved, broadcast.
        [first, ..] => first >= 224,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Global unicast is 2000::/3. Outside of it are loopback, unspecified, IPv4-compatible, local NAT64, unique local,
    // link-local and multicast addresses.
    let special = match address.segments() {
        // Protocol assignments: Teredo, benchmarks, ORCHID.
        [0x2001, second, ..] if second < 0x200 => true,
        // Documentation.
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => true,
        // 6to4: it ends at the IPv4 address inside.
        [0x2002, ..] => true,
        [first, ..] => first & 0xe000 != 0x2000,
    };
    !special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_public() {
        for public in [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:200::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert!(is_public(ip(public)), "{public}");
        }
        for special in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:808:808::1",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(ip(special)), "{special}");
        }
    }

    #[test]
    fn networks() {
        let network = |text| Network::parse(text).unwrap();
        assert!(network("10.0.0.0/8").contains(ip("10.255.0.1")));
        assert!(network("10.0.0.0/8").contains(ip("::ffff:10.255.0.1")));
        assert!(!network("10.0.0.0/8").contains(ip("11.0.0.1")));
        assert!(network("0.0.0.0/0").contains(ip("127.0.0.1")));
        assert!(!network("0.0.0.0/0").contains(ip("::1")));
        assert!(network("::/0").contains(ip("::1")));
        assert!(network("192.168.1.7").contains(ip("192.168.1.7")));
        for (text, shown, inside) in [
            ("::ffff:127.0.0.0/104", "127.0.0.0/8", "127.1.2.3"),
            ("::ffff:10.1.2.3", "10.1.2.3/32", "::ffff:10.1.2.3"),
            ("::ffff:0:0/96", "0.0.0.0/0", "127.0.0.1"),
            ("64:ff9b::10.0.0.0/104", "10.0.0.0/8", "10.9.9.9"),
            ("10.1.2.3/8", "10.0.0.0/8", "10.255.0.1"),
            ("FD00:0::/8", "fd00::/8", "fd12::1"),
        ] {
            assert_eq!(network(text).to_string(), shown);
            assert!(network(text).contains(ip(inside)), "{text}");
        }
        assert!(!network("192.168.1.7").contains(ip("192.168.1.8")));
        for bad in ["", "10", "10.0.0.0/33", "::/129", "10.0.0.0/x", "a.example"] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_and_where_they_lead() {
        let term = |text: &str| Term {
            key: "origin".to_owned(),
            value: text.to_owned(),
        };
        let check = |pattern: &str, host: &str, address: &str| {
            let origin = Origin {
                scheme: "http".to_owned(),
                host: host.to_owned(),
                port: 80,
            };
            let patterns = [OriginPattern::from_term(&term(pattern), &["http"]).unwrap()];
            granted(&patterns, &[], &origin, ip(address))
        };
        assert!(check("*", "a.example", "1.1.1.1"));
        assert!(!check("*", "a.example", "127.0.0.1"));
        assert!(!check("*", "127.0.0.1", "127.0.0.1"));
        assert!(!check("http://a.example", "a.example", "10.0.0.1"));
        assert!(check("http://127.0.0.1", "127.0.0.1", "127.0.0.1"));
        assert!(!check("http://127.0.0.1", "127.0.0.1", "127.0.0.2"));
        assert!(check("http://[::1]", "[::1]", "::1"));
        assert!(check("http://localhost", "localhost", "127.0.0.1"));
        assert!(check("http://localhost", "localhost", "::1"));
        assert!(!check("http://localhost", "localhost", "10.0.0.1"));
    }
}
