//! The rules of widespread tools, as far as their documents describe them: rules over the sums of each track. They see no workspaces.

mod argo;
mod code_deploy;
mod flagger;
mod kayenta;
mod period;

pub use argo::Argo;
pub use code_deploy::CodeDeploy;
pub use flagger::Flagger;
pub use kayenta::Kayenta;

#[cfg(test)]
mod tests;
