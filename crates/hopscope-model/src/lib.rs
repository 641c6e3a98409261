//! What a message event is, how events become a trajectory, how a query is written, how headers carry context.
