//! The machine as a whole: each row of the decision, each reason to wait.
