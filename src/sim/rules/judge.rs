//! All rules by name: which ones a run leads through its world.

use super::oracle::Oracle;
use super::rule::Rule;
use super::serin::{Serin, SerinSettings};
use super::tools::{Argo, CodeDeploy, Flagger, Kayenta};
use crate::sim::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judge {
    Serin,
    Argo,
    Flagger,
    CodeDeploy,
    Kayenta,
    Oracle,
}

impl Judge {
    pub const ALL: [Judge; 6] = [Judge::Serin, Judge::Argo, Judge::Flagger, Judge::CodeDeploy, Judge::Kayenta, Judge::Oracle];

    pub fn name(self) -> &'static str {
        match self {
            Judge::Serin => "serin",
            Judge::Argo => "argo",
            Judge::Flagger => "flagger",
            Judge::CodeDeploy => "codedeploy",
            Judge::Kayenta => "kayenta",
            Judge::Oracle => "oracle",
        }
    }

    /// The rule at the beginning of a rollout in this world.
    pub fn begin(self, world: &World<'_>, settings: &SerinSettings, seed: u64) -> Box<dyn Rule> {
        match self {
            Judge::Serin => Box::new(Serin::new(world, settings.clone(), seed)),
            Judge::Argo => Box::new(Argo::default()),
            Judge::Flagger => Box::new(Flagger::default()),
            Judge::CodeDeploy => Box::new(CodeDeploy::default()),
            Judge::Kayenta => Box::new(Kayenta::default()),
            Judge::Oracle => Box::new(Oracle::default()),
        }
    }
}
