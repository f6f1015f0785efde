//! The rules that judge a simulated rollout. `rule` says what each may see and do; `serin` is the real one, `tools` are models of
//! others.

pub mod rule;
mod serin;
mod tools;

pub use serin::{Operator, Serin, Settings};
pub use tools::{Argo, CodeDeploy, Flagger, Kayenta, Oracle};
