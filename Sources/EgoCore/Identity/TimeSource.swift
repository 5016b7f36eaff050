#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Where time comes from; injected, so that tests decide what time it is.
public protocol TimeSource: Sendable {
    /// Wall-clock time.
    func now() -> Timestamp

    /// Returns once `duration` has gone by.
    ///
    /// - Throws: `CancellationError` when the task is cancelled meanwhile.
    func sleep(for duration: Duration) async throws
}

/// The machine's own clock.
public struct SystemTime: TimeSource {
    /// The machine's own clock.
    public init() {}

    public func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(unixNanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    public func sleep(for duration: Duration) async throws {
        try await Task.sleep(for: duration)
    }
}
