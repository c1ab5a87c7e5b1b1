//! What the drivers of container backends share, and nothing of any backend's SDK.
