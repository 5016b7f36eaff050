public import EgoCore
import Synchronization

/// A store that goes wrong at the n-th call.
public final class FaultyStore: ForwardingStore {
    /// How a call goes wrong.
    public enum Fault: Sendable, Hashable {
        /// The call fails and has no effect.
        case fails
        /// The call has its effect, and then fails: its caller cannot know.
        case halfCompletes
        /// The call takes longer, by the clock that the store was made with.
        case delayed(by: Duration)
    }

    public let base: any Store
    private let time: any TimeSource
    private let state = Mutex(State())

    private struct State {
        var calls = 0
        var plan: [Int: Fault] = [:]
        var only: Set<StoreCall>?
        var log: [StoreCall] = []
    }

    /// A store that behaves like `base` until told otherwise.
    public init(_ base: any Store, time: any TimeSource = SystemTime()) {
        self.base = base
        self.time = time
    }

    /// Lets the `number`-th call from now on go wrong, counted from 1; only calls of the given kinds are counted.
    public func plan(_ fault: Fault, at number: Int, of calls: Set<StoreCall>? = nil) {
        state.withLock { state in
            state.calls = 0
            state.log = []
            state.plan = [number: fault]
            state.only = calls
        }
    }

    /// The calls since the last ``plan(_:at:of:)``.
    public var calls: [StoreCall] { state.withLock { $0.log } }

    public func forward<Value: Sendable>(
        _ call: StoreCall, _ body: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        let fault = state.withLock { state -> Fault? in
            state.log.append(call)
            if let only = state.only, !only.contains(call) { return nil }
            state.calls += 1
            return state.plan[state.calls]
        }
        switch fault {
        case nil: return try await body()
        case .fails: throw StoreError(.io, "planned fault: \(call.rawValue) failed")
        case .halfCompletes:
            _ = try await body()
            throw StoreError(.io, "planned fault: \(call.rawValue) failed after its effect")
        case .delayed(let duration):
            do { try await time.sleep(for: duration) } catch { throw StoreError(.cancelled, "cancelled") }
            return try await body()
        }
    }
}
