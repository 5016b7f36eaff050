/// What becomes of an event that a projection's handler fails on.
///
/// A store that cannot be reached is not the event's fault: the projection waits for it, and goes on.
public struct RecoveryPolicy: Sendable, Hashable {
    /// What happens once the event is given up.
    public enum Outcome: Sendable, Hashable {
        /// The projection stops, and says why.
        case fail
        /// The event is kept as a dead letter, and the projection goes on.
        case skip
    }

    /// What happens once the event is given up.
    public var outcome: Outcome
    /// How often it is tried again before that; 0 for never.
    public var retries: Int
    /// How long to wait before each further try.
    public var backoff: Backoff

    /// A policy with the given parts.
    public init(_ outcome: Outcome, retries: Int = 0, backoff: Backoff = Backoff()) {
        self.outcome = outcome
        self.retries = max(0, retries)
        self.backoff = backoff
    }

    /// Stop at once.
    public static let fail = RecoveryPolicy(.fail)
    /// Keep a dead letter and go on at once.
    public static let skip = RecoveryPolicy(.skip)

    /// Try again, then stop.
    public static func retryAndFail(retries: Int, backoff: Backoff = Backoff()) -> RecoveryPolicy {
        RecoveryPolicy(.fail, retries: retries, backoff: backoff)
    }

    /// Try again, then keep a dead letter and go on.
    public static func retryAndSkip(retries: Int, backoff: Backoff = Backoff()) -> RecoveryPolicy {
        RecoveryPolicy(.skip, retries: retries, backoff: backoff)
    }
}

/// How long to wait between tries: longer each time, up to a limit.
public struct Backoff: Sendable, Hashable {
    /// Before the first further try.
    public var delay: Duration
    /// How much longer each wait is than the one before; at least 1.
    public var factor: Double
    /// The longest wait.
    public var maximum: Duration
    /// Which part of each wait is left to chance, 0 to 1, so that many do not try at the same moment.
    public var jitter: Double

    /// A backoff with the given parts.
    public init(
        delay: Duration = .milliseconds(100), factor: Double = 2, maximum: Duration = .seconds(30), jitter: Double = 0.2
    ) {
        self.delay = delay
        self.factor = max(1, factor)
        self.maximum = maximum
        self.jitter = min(max(0, jitter), 1)
    }

    /// How long to wait before try `number`, counted from 1 for the first further one.
    ///
    /// - Parameter chance: 0 to 1, random.
    public func wait(before number: Int, chance: Double) -> Duration {
        // Far beyond any maximum; a power of a large number would be infinite.
        let growth = number > 200 && factor > 1 ? Double.infinity : pow(factor, max(0, number - 1))
        let nanoseconds = min((delay / .nanoseconds(1)) * growth, maximum / .nanoseconds(1))
        return .nanoseconds(Int64(max(0, nanoseconds * (1 - jitter * chance))))
    }

    private func pow(_ base: Double, _ exponent: Int) -> Double {
        var result = 1.0
        for _ in 0..<exponent where result.isFinite { result *= base }
        return result
    }
}
