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
    fenced_write,
    stale_evidence_refused,
    brake_engaged,
    shared_cause,
    abort_during_a_raise,
    clock_jump_during_a_bake,
    suspend_during_a_bake,
    gap_during_a_bake,
    torn_write_recovered,
    evidence_lost,
    evidence_restored,
    lowered_while_unwritable,
    raise_not_written,
    stale_command_refused,
    command_came_twice,
    quarantine_refused,
    retried,
    raised_on_evidence,
    raised_at_the_deadline,
    raised_by_hand,
    promoted_on_evidence,
    aborted_on_evidence,
    aborted_on_a_limit,
    aborted_by_hand,
    retreated,
    no_number_refused,
    late_answer_of_an_old_split,
    paused,
    failing_and_left_to_a_human,
}
