//! What has to happen now and then, or the simulator is too gentle to be believed.

macro_rules! sometimes {
    ($($name:ident),* $(,)?) => {
        /// How often what should happen sometimes did happen.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Sometimes {
            $(pub $name: u64,)*
        }

        impl Sometimes {
            pub fn add(&mut self, other: &Sometimes) {
                $(self.$name += other.$name;)*
            }

            pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

sometimes! {
    stale_evidence_refused,
    brake_engaged,
    shared_cause,
    gap_during_a_bake,
    lowered_while_the_disk_hangs,
    raise_not_kept,
    raise_overtaken,
    answered_before_it_was_durable,
    stale_command_refused,
    frozen,
    quarantine_refused,
    raised_on_evidence,
    raised_at_the_deadline,
    raised_by_hand,
    promoted_on_evidence,
    aborted_on_evidence,
    aborted_on_a_limit,
    aborted_by_hand,
    retreated,
    undone,
    switched,
    late_answer_of_an_old_split,
    paused,
    failing_and_left_to_a_human,
    hung_up,
    drilled,
    reloaded,
    reload_refused,
    restarted,
    examined,
}
