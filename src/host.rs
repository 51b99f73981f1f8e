//! The shell around the core: sockets, files, clocks, signals, and the tasks that drive it.

pub(crate) mod accepting;
pub mod advertise;
pub mod agent;
pub mod budget;
pub(crate) mod descriptors;
pub(crate) mod durable;
pub mod handle;
pub mod key_file;
pub mod log;
mod private_file;
pub(crate) mod reporter;
pub mod retry_join;
pub mod service_manager;
pub mod shutdown;
pub mod state_dir;
pub mod token;
pub mod transport;
pub(crate) mod watchdog;
