//! What a stream's thread uses to reach the service: the seams, in hand.

use std::rc::Rc;
use std::sync::Arc;

use kvs_client::{ControlPlane, MediaTransport};

use crate::error::StreamError;

/// The seams of one thread. Streams of a thread share them, and with them connections and caches.
#[derive(Clone)]
pub struct Services {
    /// Finds, creates and tags streams and names endpoints.
    pub control: Rc<dyn ControlPlane>,
    /// Opens `PutMedia` sessions.
    pub transport: Rc<dyn MediaTransport>,
}

impl Services {
    /// Services over these two seams.
    #[must_use]
    pub fn new(control: impl ControlPlane + 'static, transport: impl MediaTransport + 'static) -> Self {
        Services {
            control: Rc::new(control),
            transport: Rc::new(transport),
        }
    }
}

/// Makes the services of a thread, on that thread.
pub type ServicesFactory = Arc<dyn Fn() -> Result<Services, StreamError> + Send + Sync>;
