//! Routes that programs ride on: lightweight tunnels, and the local end of segment routing.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A route that is made for a program, and goes with it. Since 4.10; segment routing since 4.18.
#[doc(alias = "lwt")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Packets to these addresses: all whose first [`length`](Self::length) bits are the same.
    pub destination: IpAddr,
    /// Bits of the destination that count.
    pub length: u8,
    /// The index of the device that they leave by.
    pub device: u32,
    /// The next router; `None` if the device reaches the addresses by itself.
    pub gateway: Option<IpAddr>,
    /// The routing table; `None` is the main one.
    pub table: Option<u32>,
    /// Of several routes to the same addresses the one with the lowest number is taken.
    pub priority: Option<u32>,
    /// Bytes that `lwt_xmit` programs may put before a packet, up to 256.
    #[doc(alias = "LWT_BPF_XMIT_HEADROOM")]
    pub headroom: Option<u32>,
}

impl Route {
    /// A route to these addresses by a device, in the main table.
    pub fn new(destination: IpAddr, length: u8, device: u32) -> Self {
        Self {
            destination,
            length,
            device,
            gateway: None,
            table: None,
            priority: None,
            headroom: None,
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.destination, self.length)
    }
}

/// The addresses of a route, and its router, as they are written: `10.1.0.0/16`,
/// `fc00::1`, `10.1.0.0/16 via 10.0.0.1`, `default`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteTo {
    /// As [`Route::destination`].
    pub destination: IpAddr,
    /// As [`Route::length`].
    pub length: u8,
    /// As [`Route::gateway`].
    pub gateway: Option<IpAddr>,
}

impl FromStr for RouteTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no route: write it as 10.1.0.0/16 or fc00::1");
        let mut words = text.split_whitespace();
        let to = words.next().ok_or_else(wrong)?;
        let gateway = match (words.next(), words.next(), words.next()) {
            (None, None, None) => None,
            (Some("via"), Some(router), None) => {
                Some(router.parse::<IpAddr>().map_err(|_| wrong())?)
            }
            _ => return Err(wrong()),
        };
        let (destination, length) = match (to, gateway) {
            ("default", Some(IpAddr::V6(_))) => (Ipv6Addr::UNSPECIFIED.into(), 0),
            ("default", _) => (Ipv4Addr::UNSPECIFIED.into(), 0),
            _ => match to.split_once('/') {
                Some((address, length)) => (
                    address.parse::<IpAddr>().map_err(|_| wrong())?,
                    length.parse().map_err(|_| wrong())?,
                ),
                None => {
                    let address = to.parse::<IpAddr>().map_err(|_| wrong())?;
                    (address, most(address))
                }
            },
        };
        if length > most(destination) {
            let most = most(destination);
            return Err(format!(
                "`{text}`: an address has {most} bits, not {length}"
            ));
        }
        Ok(Self {
            destination,
            length,
            gateway,
        })
    }
}

fn most(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, destination: &str, length: u8, gateway: Option<&str>) {
        let expect = RouteTo {
            destination: destination.parse().unwrap(),
            length,
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
        };
        assert_eq!(text.parse(), Ok(expect));
    }

    #[test]
    fn routes_as_they_are_written() {
        check("10.1.0.0/16", "10.1.0.0", 16, None);
        check("10.1.2.3", "10.1.2.3", 32, None);
        check("fc00::1", "fc00::1", 128, None);
        check("fc00::/7 via fe80::1", "fc00::", 7, Some("fe80::1"));
        check("default", "0.0.0.0", 0, None);
        check("default via fe80::1", "::", 0, Some("fe80::1"));
    }

    #[test]
    fn what_is_no_route_is_told() {
        for text in [
            "",
            "10.1/16",
            "10.1.0.0/33",
            "fc00::/129",
            "10.1.0.0/16 by lo",
            "x",
        ] {
            let error = text.parse::<RouteTo>().unwrap_err();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
