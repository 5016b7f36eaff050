import EgoCore
import Synchronization

/// The stores that a measurement has made; whoever makes it removes them in the end, whatever came between.
final class BenchScratches: Sendable {
    private let place: any ScratchPlace
    private let made = Mutex<[any ScratchStore]>([])

    init(_ place: any ScratchPlace) { self.place = place }

    /// - Parameter shards: how many shards the store has; nil for as many as any new store.
    func make(shards: UInt32?) async throws -> any ScratchStore {
        try Task.checkCancellation()
        let place = place
        // A store that is half made when the task is cancelled would stay.
        let result = await Task { () async -> Result<any ScratchStore, StoreError> in
            do throws(StoreError) { return .success(try await place.makeScratch(shards: shards)) } catch {
                return .failure(error)
            }
        }.value
        let scratch = try result.get()
        made.withLock { $0.append(scratch) }
        return scratch
    }

    /// Removes all, also when the task was cancelled.
    func removeAll() async {
        let all = made.withLock { made in
            defer { made = [] }
            return made
        }
        await Task { for scratch in all { await scratch.remove() } }.value
    }
}
