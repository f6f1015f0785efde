//! `serin healthcheck`: asks whether the serin of this machine is ready. It finds the admin listener in the config, which a
//! container shares with serin. It ignores errors in the config, because a serin that has refused a config still serves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;

use super::client::{AdminAddress, Client, Trust};
use super::config_file::ConfigFile;
use crate::config;

#[derive(Debug, Args)]
pub struct Healthcheck {
    #[command(flatten)]
    file: ConfigFile,
    /// Ask /livez, whether the process runs, in place of /readyz
    #[arg(long)]
    live: bool,
    /// The longest wait for the answer
    #[arg(long, default_value = "2s", value_name = "DURATION", value_parser = config::parse_duration)]
    timeout: Duration,
    /// The URL of the admin listener, in place of the config's
    #[arg(long, env = "SERIN_ADMIN", value_name = "URL")]
    admin: Option<String>,
    /// Trust the certificate authorities in this PEM file with https; without this and --admin, any certificate is accepted
    #[arg(long, env = "SERIN_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Present the client certificate in this PEM file, if the listener asks for one
    #[arg(long, env = "SERIN_CERT_FILE", value_name = "FILE", requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// The private key of the client certificate, as PEM
    #[arg(long, env = "SERIN_KEY_FILE", value_name = "FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,
}

impl Healthcheck {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let given = self.admin.is_some();
        let admin = match self.admin {
            Some(admin) => admin,
            None => admin_of(&self.file)?,
        };
        // The certificate has some public name, while this request goes to an address. The request contains no secret.
        let trust = if given || self.ca_file.is_some() { Trust::Authorities } else { Trust::Anybody };
        let Healthcheck { ca_file, cert_file, key_file, .. } = self;
        let address = AdminAddress { admin, token_file: None, ca_file, cert_file, key_file };
        let path = if self.live { "/livez" } else { "/readyz" };
        let (status, text) = Client::without_token(&address, trust, self.timeout)?.text(path)?;
        println!("{}", text.lines().next().unwrap_or_default());
        Ok(if status == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn admin_of(file: &ConfigFile) -> anyhow::Result<String> {
    let (listen, tls) = config::admin_listener(&file.config)?;
    let Some(address) = reached_at(listen) else {
        bail!("[admin] listens on a port that the system chooses: give --admin");
    };
    let scheme = if tls { "https" } else { "http" };
    Ok(format!("{scheme}://{address}"))
}

/// The address at which this machine reaches the listener: the loopback address for a listener on all addresses.
fn reached_at(listen: SocketAddr) -> Option<SocketAddr> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    (listen.port() != 0).then(|| SocketAddr::new(ip, listen.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_asked_at_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:9400", Some("127.0.0.1:9400")),
            ("[::]:9400", Some("[::1]:9400")),
            ("10.0.0.1:80", Some("10.0.0.1:80")),
            ("127.0.0.1:0", None),
        ] {
            assert_eq!(reached_at(listen.parse().unwrap()), asked.map(|asked| asked.parse().unwrap()), "{listen}");
        }
    }
}
