//! The config of a story: a few bots, as an operator would write them down, and what reloads make of them.

use std::fmt::Write;
use std::path::Path;

use crate::config::{self, Config};
use crate::sim::dice::Dice;

#[derive(Clone, Debug)]
pub struct Setting {
    pub bots: Vec<BotSetting>,
    /// Bots that are not in the config now.
    pub absent: Vec<BotSetting>,
}

#[derive(Clone, Debug)]
pub struct BotSetting {
    pub name: &'static str,
    pub weight: u16,
    /// An upstream's colour, and a version.
    pub release: Option<(&'static str, String)>,
    steps: &'static str,
    bake: u64,
    deadline: u64,
    at_deadline: &'static str,
    policy: &'static str,
    on_marginal: &'static str,
    on_limit: &'static str,
    abort_at: u32,
    harm: &'static str,
    limits: bool,
    brake: bool,
    max: &'static str,
    /// By number: a workspace that is pinned to the canary, and one that is pinned to stable.
    pub pinned: Option<[usize; 2]>,
    port: u16,
}

pub const COLOURS: [&str; 2] = ["blue", "green"];
const NAMES: [&str; 3] = ["a", "b", "c"];
const STEPS: [&str; 5] = [
    r#"["1%", "5%", "10%", "25%", "50%", "98%", "100%"]"#,
    r#"["10%", "30%", "60%", "98%", "100%"]"#,
    r#"["25%", "50%", "100%"]"#,
    r#"["20%", "98%", "100%"]"#,
    r#"["50%", "100%"]"#,
];

impl Setting {
    pub fn new(dice: &mut Dice) -> Setting {
        let mut bots: Vec<_> = NAMES.iter().map(|name| BotSetting::new(name, dice)).collect();
        let absent = bots.split_off(1 + dice.below(3) as usize);
        Setting { bots, absent }
    }

    /// As a file, read by the real reader.
    pub fn config(&self, name: impl Fn(&str, usize) -> String) -> Config {
        let mut text = "[proxy]\nworkers = 3\n".to_owned();
        for bot in &self.bots {
            bot.write(&mut text, &name);
        }
        config::parse(&text, Path::new("serin.toml")).unwrap_or_else(|error| panic!("{text}\n{error:?}"))
    }

    /// What an operator may do to a file.
    pub fn edit(&mut self, dice: &mut Dice, versions: &[String], workspaces: usize) {
        let bot = dice.below(self.bots.len() as u64) as usize;
        match dice.below(10) {
            0 if self.bots.len() > 1 => self.absent.push(self.bots.remove(bot)),
            1 | 2 if !self.absent.is_empty() => {
                let comes = self.absent.remove(dice.below(self.absent.len() as u64) as usize);
                self.bots.insert(bot, comes);
            }
            3 => self.bots.reverse(),
            4 => self.bots[bot].weight = dice.pick(&[0, 0, 500, 2_500]),
            5 => {
                let version = versions[dice.below(versions.len() as u64) as usize].clone();
                self.bots[bot].release = dice.chance(0.7).then(|| (dice.pick(&COLOURS), version));
            }
            6 => {
                let half = workspaces as u64 / 2;
                let pinned = [dice.below(half) as usize, (half + dice.below(half)) as usize];
                self.bots[bot].pinned = dice.chance(0.8).then_some(pinned);
            }
            7 => self.bots[bot].port = 3_000 + dice.below(3) as u16 * 10,
            _ => {
                let old = self.bots[bot].clone();
                let BotSetting { name, weight, release, pinned, port, .. } = old;
                self.bots[bot] = BotSetting { weight, release, pinned, port, ..BotSetting::new(name, dice) };
            }
        }
    }

    /// Nothing is left in a good release's way.
    pub fn settle(&mut self) {
        for bot in &mut self.bots {
            let BotSetting { name, weight, release, pinned, port, .. } = bot.clone();
            *bot = BotSetting { weight, release, pinned, port, ..BotSetting::friendly(name) };
        }
    }
}

impl BotSetting {
    fn new(name: &'static str, dice: &mut Dice) -> BotSetting {
        let bake = dice.pick(&[5, 20, 40, 90]);
        BotSetting {
            name,
            weight: dice.pick(&[0, 0, 0, 1_000]),
            release: None,
            steps: dice.pick(&STEPS),
            bake,
            deadline: dice.pick(&[60, 120, 300]).max(bake),
            at_deadline: dice.pick(&["proceed", "by_traffic", "ask", "wait"]),
            policy: dice.pick(&["automatic", "automatic", "automatic", "guarded", "manual"]),
            on_marginal: dice.pick(&["hold", "retreat"]),
            on_limit: dice.pick(&["abort", "retreat"]),
            abort_at: dice.pick(&[50, 150, 1_000_000]),
            harm: dice.pick(&["0.5%", "5%"]),
            limits: dice.one_in(2),
            brake: !dice.one_in(6),
            max: dice.pick(&["100%", "100%", "98%", "50%", "10%"]),
            pinned: None,
            port: 3_000,
        }
    }

    fn friendly(name: &'static str) -> BotSetting {
        BotSetting {
            name,
            weight: 0,
            release: None,
            steps: r#"["25%", "50%", "98%", "100%"]"#,
            bake: 20,
            deadline: 120,
            at_deadline: "proceed",
            policy: "automatic",
            on_marginal: "hold",
            on_limit: "abort",
            abort_at: 150,
            harm: "2%",
            limits: false,
            brake: true,
            max: "100%",
            pinned: None,
            port: 3_000,
        }
    }

    fn write(&self, text: &mut String, workspace: &impl Fn(&str, usize) -> String) {
        let BotSetting { name, weight, steps, bake, deadline, at_deadline, policy, on_marginal, on_limit, .. } = self;
        let (port, max) = (self.port, self.max);
        // The first step is always below `max`: a config in which none is could not be followed.
        let _ = write!(
            text,
            "[[bot]]\nname = \"{name}\"\nmatch = {{ path_prefix = \"/{name}\" }}\nworkspace = \"workspace:header:x-workspace\"\n\
             upstreams = {{ {name}-blue = \"http://127.0.0.1:{port}\", {name}-green = \"http://127.0.0.1:3001\" }}\n\
             stable = \"{name}-blue\"\nmax = \"{max}\"\n"
        );
        let most = max.trim_end_matches('%').parse::<u16>().unwrap_or(100) * 100;
        if *weight > 0 {
            let _ = writeln!(text, "weight = \"{}%\"", f64::from((*weight).min(most)) / 100.0);
        }
        if let Some((colour, version)) = &self.release {
            let _ = writeln!(text, "release = {{ upstream = \"{name}-{colour}\", version = \"{version}\" }}");
        }
        if let Some([canary, stable]) = self.pinned {
            let _ = writeln!(text, "pins = {{ canary = [\"{}\"], stable = [\"{}\"] }}", workspace(name, canary), workspace(name, stable));
        }
        let _ = write!(
            text,
            "[bot.rollout]\nsteps = {steps}\nbake = \"{bake}s\"\ndeadline = \"{deadline}s\"\nat_deadline = \"{at_deadline}\"\n\
             policy = \"{policy}\"\non_marginal = \"{on_marginal}\"\non_limit = \"{on_limit}\"\n[bot.guard]\nabort_at = {}\n\
             harm = \"{}\"\nbrake = {}\nleast_requests = 15\n",
            self.abort_at, self.harm, self.brake
        );
        if self.limits {
            text.push_str("error_rate = \"15%\"\nlate = \"30%\"\n");
        }
    }
}
