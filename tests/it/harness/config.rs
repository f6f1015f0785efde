//! Configs as text, so that serin reads them as it reads an operator's file.

use std::net::SocketAddr;
use std::path::Path;

use super::Upstream;

#[derive(Clone, Debug)]
pub struct Config {
    workers: usize,
    proxy: Vec<String>,
    limits: Vec<String>,
    admin: Vec<String>,
    log: Vec<String>,
    notifiers: Vec<String>,
    bots: Vec<Vec<String>>,
}

impl Config {
    /// No bot yet.
    pub fn new() -> Config {
        let proxy = vec!["listen = \"127.0.0.1:0\"".to_owned(), "drain = \"10s\"".to_owned()];
        let admin = vec!["listen = \"127.0.0.1:0\"".to_owned()];
        Config { workers: 2, proxy, limits: Vec::new(), admin, log: Vec::new(), notifiers: Vec::new(), bots: Vec::new() }
    }

    /// The bot `support` with `blue` as stable and `green` as canary, its workspace in the header `X-Workspace`.
    pub fn split(blue: SocketAddr, green: SocketAddr) -> Config {
        Config::identified("workspace = \"header:X-Workspace\"", blue, green)
    }

    /// The same, with a pair of upstreams.
    pub fn of(upstreams: &(Upstream, Upstream)) -> Config {
        Config::split(upstreams.0.address, upstreams.1.address)
    }

    /// The same with another way to find the workspace.
    pub fn identified(by: &str, blue: SocketAddr, green: SocketAddr) -> Config {
        let upstreams = format!("upstreams = {{ blue = \"http://{blue}\", green = \"http://{green}\" }}");
        Config::new().add(&["name = \"support\"", by, &upstreams, "stable = \"blue\""])
    }

    /// One more bot.
    pub fn add(mut self, lines: &[&str]) -> Config {
        self.bots.push(lines.iter().map(|line| (*line).to_owned()).collect());
        self
    }

    /// A line for the last bot.
    pub fn bot(mut self, line: &str) -> Config {
        self.bots.last_mut().expect("a bot to add the line to").push(line.to_owned());
        self
    }

    pub fn weight(self, percent: &str) -> Config {
        self.bot(&format!("weight = \"{percent}\""))
    }

    /// A table of the last bot, after all of its lines.
    pub fn table(self, name: &str, lines: &[&str]) -> Config {
        self.bot(&format!("{name} = {{ {} }}", lines.join(", ")))
    }

    pub fn drain(mut self, limit: &str) -> Config {
        self.proxy.retain(|line| !line.starts_with("drain"));
        self.proxy(&format!("drain = \"{limit}\""))
    }

    pub fn workers(self, workers: usize) -> Config {
        Config { workers, ..self }
    }

    pub fn proxy(mut self, line: &str) -> Config {
        self.proxy.push(line.to_owned());
        self
    }

    pub fn limit(mut self, line: &str) -> Config {
        self.limits.push(line.to_owned());
        self
    }

    /// A line for `[admin]`; a `[[admin.token]]` with its lines may follow.
    pub fn admin(mut self, line: &str) -> Config {
        self.admin.push(line.to_owned());
        self
    }

    /// A line for `[log]`.
    pub fn log(mut self, line: &str) -> Config {
        self.log.push(line.to_owned());
        self
    }

    pub fn token(self, name: &str, scope: &str, secret: &str) -> Config {
        self.admin(&format!("[[admin.token]]\nname = \"{name}\"\nscope = \"{scope}\"\nsecret = \"{secret}\""))
    }

    /// A `[[notify]]` with these lines.
    pub fn notify(mut self, lines: &[&str]) -> Config {
        self.notifiers.push(format!("[[notify]]\n{}\n", lines.join("\n")));
        self
    }

    pub fn text(&self) -> String {
        let mut text = format!("[proxy]\nworkers = {}\n{}\n", self.workers, self.proxy.join("\n"));
        text += &format!("[proxy.limits]\n{}\n[admin]\n{}\n", self.limits.join("\n"), self.admin.join("\n"));
        text += &format!("[log]\n{}\n", self.log.join("\n"));
        text += &self.notifiers.concat();
        for bot in &self.bots {
            text += &format!("[[bot]]\n{}\n", bot.join("\n"));
        }
        text
    }

    /// As serin means it.
    pub fn parsed(&self) -> serin::config::Config {
        serin::config::parse(&self.text(), Path::new("serin.toml")).unwrap_or_else(|error| panic!("{error}"))
    }
}
