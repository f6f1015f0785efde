//! A gate in front of a serin's disk, by a library that is loaded before others.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Process, command};

/// A gate in front of the disk: while it is shut, no fsync returns.
pub struct Gate {
    library: PathBuf,
    shut: PathBuf,
    /// Exists once an fsync has begun while the gate was shut.
    reached: PathBuf,
}

const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
static void wait_at_the_gate(void) {
    const char *shut = getenv("SERIN_TEST_GATE");
    if (shut && access(shut, F_OK) == 0) close(open(getenv("SERIN_TEST_GATE_REACHED"), O_CREAT | O_WRONLY, 0600));
    while (shut && access(shut, F_OK) == 0) usleep(1000);
}
int fsync(int fd) {
    wait_at_the_gate();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
int fdatasync(int fd) {
    wait_at_the_gate();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
"#;

impl Gate {
    pub fn new(directory: &Path) -> Gate {
        let (source, library) = (directory.join("gate.c"), directory.join("gate.so"));
        std::fs::write(&source, SHIM).unwrap();
        // The crates that serin is built from need a C compiler, too.
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").status();
        assert!(compiled.unwrap().success());
        Gate { library, shut: directory.join("shut"), reached: directory.join("reached") }
    }

    pub fn start(&self, config: &Path) -> Process {
        let mut serin = command(&["run", "--config"]);
        self.stands_before(&mut serin);
        Process::start_by(serin, config)
    }

    /// Puts the gate between this serin and its disk.
    pub fn stands_before(&self, serin: &mut Command) {
        serin.env("LD_PRELOAD", &self.library).env("SERIN_TEST_GATE", &self.shut).env("SERIN_TEST_GATE_REACHED", &self.reached);
    }

    pub fn is_reached(&self) -> bool {
        self.reached.exists()
    }

    pub fn shut(&self) {
        std::fs::write(&self.shut, "").unwrap();
    }

    pub fn open(&self) {
        std::fs::remove_file(&self.shut).unwrap();
    }
}
