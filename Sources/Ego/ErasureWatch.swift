import EgoCore
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Keeps what was erased from being answered with: no answer from memory relies on a look at the store's erasures that is
/// older than `Erasure.staleness`. Whoever erases waits for that long, and can then be sure of every process.
///
/// Nobody looks while nobody asks: the first call after that time looks, and others wait for it.
final class ErasureWatch: Sendable {
    private struct State {
        /// The last erasure that was seen; nil before the first look.
        var last: UInt64?
        var erased: Set<PersistenceID> = []
        var look: Task<Result<Void, StoreError>, Never>?
    }

    private let store: any OperatorStore
    private let registry: EntityRegistry
    private let state = Mutex(State())
    private let hasErased = Atomic<Bool>(false)
    /// Until when the last look counts, on the machine's clock since its start, which also runs while it sleeps.
    private let validUntil = Atomic<Int64>(0)
    private static let staleness = Int64(Erasure.staleness / .nanoseconds(1))

    init(store: any OperatorStore, registry: EntityRegistry) {
        self.store = store
        self.registry = registry
    }

    /// Checks that an answer about an entity may be given.
    ///
    /// - Throws: ``EgoError/Code/erased``; ``EgoError/Code/storage`` when the store cannot be asked.
    func check(_ id: PersistenceID) async throws(EgoError) {
        let began = Self.now()
        // A look that began after the question is good enough, however long it took: else a machine that is busy for
        // longer than a look counts would never answer.
        while began >= validUntil.load(ordering: .acquiring) {
            do { try await look() } catch { throw EgoError(error, id) }
        }
        if hasErased.load(ordering: .acquiring), state.withLock({ $0.erased.contains(id) }) { throw .erased(id) }
    }

    private func look() async throws(StoreError) {
        let look = state.withLock { state in
            if let look = state.look { return look }
            let look = Task { await self.lookOnce() }
            state.look = look
            return look
        }
        try await look.value.get()
    }

    private func lookOnce() async -> Result<Void, StoreError> {
        let start = Self.now()
        defer { state.withLock { $0.look = nil } }
        do throws(StoreError) {
            let limit = 1_000
            var last = state.withLock { $0.last }
            // What is in memory before the first look may have been erased since it was loaded.
            while true {
                let page = try await store.erasures(after: last ?? 0, limit: limit)
                for erasure in page {
                    let isActive = registry.activeEntity(erasure.persistenceID)?.erase() != nil
                    if last == nil, !isActive { continue }
                    _ = state.withLock { $0.erased.insert(erasure.persistenceID) }
                    hasErased.store(true, ordering: .releasing)
                }
                if page.count < limit {
                    let seen = page.last?.number ?? last ?? 0
                    state.withLock { $0.last = seen }
                    break
                }
                last = page.last?.number
                state.withLock { $0.last = last }
            }
        } catch {
            return .failure(error)
        }
        validUntil.store(start + Self.staleness, ordering: .releasing)
        return .success(())
    }

    private static func now() -> Int64 {
        var time = timespec()
        #if canImport(Glibc)
            clock_gettime(CLOCK_BOOTTIME, &time)
        #else
            clock_gettime(CLOCK_MONOTONIC, &time)
        #endif
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
