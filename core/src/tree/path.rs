//! The grammar of paths (upstream: `PathUtils.validatePath`).
