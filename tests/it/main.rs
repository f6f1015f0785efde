//! Tests of the shell as a whole: real sockets on port 0, real processes where signals matter, upstreams and clients that send
//! exactly the bytes of the test. `harness` has what all tests use; every other module tests one promise. `SERIN_TEST_COUNT` raises the
//! number of turns of the tests that look for races.

mod tidy;
mod harness;
mod differential;
mod load;

mod access;
mod access_bots;
mod access_crowd;
mod access_files;
mod access_rules;
mod access_tls;
mod answers;
mod api;
mod bodies;
mod codec_differential;
mod command_line;
mod crowd;
mod deadline;
mod drain;
mod dry_run;
mod front;
mod front_tls;
mod goodbye;
mod health;
mod history;
mod kept;
mod links;
mod logs;
mod memory;
mod names;
mod notify;
mod openapi;
mod overload;
mod owner;
mod parsers;
mod pins;
mod pool;
mod reconcile;
mod reload;
mod request_differential;
mod rescue;
mod rollout;
mod routing;
mod siege;
mod soak;
mod split;
mod systemd;
mod take_over;
mod take_over_fails;
mod tls;
mod traces;
mod upgrade;
mod upgrades;
mod watching;
