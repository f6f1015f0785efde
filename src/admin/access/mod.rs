//! Access to the API: the rules of the config, the secrets, and the check of each request.

mod attempts;
mod check;
mod keys;
mod rules;

pub use attempts::{Attempts, Limit, log_blocked};
pub use check::{Access, Denial, LOCAL, Reach};
pub use keys::Keys;
pub use rules::Rules;
