import Ego
import EgoCore

extension Rebuild {
    /// One run of the job.
    struct Run {
        let store: any Store
        let reader: EventReader
        let time: any TimeSource
        let job: JobRun<Progress>
        let projections: [Projection]
        let options: Options

        func run(_ report: @Sendable (Int, Int) -> Void) async throws -> [Outcome] {
            var state = await job.checkpoint
            if state.isFenced { try await checkOwnership(state) } else { try await fence(&state) }
            if !state.isPrepared { try await prepare(&state) }
            let end = try await replay(&state, report)
            try await verify(state, through: end)
            try await promote(&state)
            return state.outcomes
        }

        private func projection(_ name: String) throws -> Projection {
            guard let found = projections.first(where: { $0.name == name }) else {
                throw OperationError.noProjection(name)
            }
            return found
        }

        // MARK: Empty read models

        /// Takes the projections into this job's hands, and stops the runners of those that are rebuilt in place before
        /// anything is emptied.
        private func fence(_ state: inout Progress) async throws {
            var (leases, records): ([OperatorChange], [OperatorChange]) = ([], [])
            var overtaken: Set<String> = []
            for index in state.outcomes.indices {
                let name = state.outcomes[index].name
                var record = try await store.projection(name) ?? ProjectionRecord(name: name)
                if let other = record.rebuildJob { overtaken.insert(other) }
                record.rebuildJob = job.id
                // A rebuild that this one overtakes may have left it waiting: it is not to wait for ever.
                let mode = record.mode == .rebuilding ? ProjectionRecord.Mode.running : record.mode
                record.mode = mode
                // The job may have been begun long ago.
                switch state.outcomes[index].strategy {
                case .shadow: state.outcomes[index].version = record.nextVersion
                case .inPlace:
                    state.outcomes[index].version = record.activeVersion
                    state.modes[name] = mode.rawValue
                    record.mode = .rebuilding
                    record.failure = nil
                }
                leases.append(.breakLease(ProjectionRecord.lease(of: name)))
                records.append(.saveProjection(record))
            }
            // Nobody goes on with a rebuild that this one overtakes.
            let names = Set(state.outcomes.map(\.name))
            var works: [ReadModelWork] = []
            for id in overtaken {
                guard var other = try await store.job(id), other.state.isUnfinished else { continue }
                let abandonment = try await Rebuild.abandonment(of: other, on: store, except: names)
                // The lease of rebuilds is this one's.
                leases += abandonment.changes.filter { if case .breakLease("rebuild") = $0 { false } else { true } }
                if let work = abandonment.work { works.append(work) }
                other.state = .discarded
                other.updatedAt = time.now()
                records.append(.saveJob(other))
            }
            state.isFenced = true
            let all = works
            _ = try await job.commit(leases + records, checkpoint: state) { transaction in
                for work in all { try work(transaction) }
            }
        }

        /// Refuses to go on with projections that another rebuild has taken over.
        private func checkOwnership(_ state: Progress) async throws {
            for outcome in state.outcomes where try await store.projection(outcome.name)?.rebuildJob != job.id {
                throw OperationError(
                    .refused, "another rebuild has overtaken this one of projection \(outcome.name)",
                    hint: "nothing was changed; ego jobs discard \(job.id) gives this one up")
            }
        }

        private func prepare(_ state: inout Progress) async throws {
            let shards = try await store.metadata().shardCount
            let start = Offset(state.start) ?? .start
            let now = time.now()
            var changes: [OperatorChange] = []
            var works: [@Sendable (any ReadModelTransaction) throws -> Void] = []
            for outcome in state.outcomes {
                let projection = try projection(outcome.name)
                try await ReadModelOwnership.check(projection, in: store)
                if outcome.strategy == .inPlace, options.from == nil,
                    case .external(let handler as any ClearableProjectionHandler) = projection.handler
                {
                    try await handler.clear()
                }
                var record = try await store.projection(outcome.name) ?? ProjectionRecord(name: outcome.name)
                let schema = ReadModelSchema(tables: projection.tables)
                let version = outcome.version
                if outcome.strategy == .shadow {
                    // What a rebuild that was given up has left.
                    if let leftover = record.shadowVersion {
                        let old = record.schema(of: leftover)
                        changes.append(.forgetVersion(leftover, ofProjection: outcome.name))
                        works.append { try old.drop(leftover, in: $0) }
                        record.tables[leftover] = nil
                    }
                    record.shadowVersion = version
                    record.tables[version] = projection.tables
                    works.append { try schema.make(version, in: $0, isActive: false) }
                } else {
                    let old = record.schema(of: version)
                    let isEmptied = options.from == nil
                    if isEmptied { changes.append(.forgetVersion(version, ofProjection: outcome.name)) }
                    let isMade =
                        record.tables[version] != nil && (!isEmptied || record.tables[version] == projection.tables)
                    if isMade, isEmptied {
                        works.append { try schema.empty(version, in: $0) }
                    }
                    if !isEmptied {
                        let shards = (0..<UInt64(shards)).map { (Shard($0), start) }
                        changes += try await DeadLetters.removals(
                            of: outcome.name, version: version, after: Dictionary(uniqueKeysWithValues: shards),
                            in: store)
                    }
                    if !isMade {
                        record.tables[version] = projection.tables
                        works.append { transaction in
                            try old.hide(in: transaction)
                            try old.drop(version, in: transaction)
                            try schema.make(version, in: transaction, isActive: true)
                        }
                    }
                }
                changes.append(.saveProjection(record))
                changes.append(
                    .advance(
                        ProjectionAdvance(
                            projection: outcome.name, version: version,
                            offsets: (0..<UInt64(shards)).map {
                                CommittedOffset(shard: Shard($0), offset: start, committedAt: now)
                            })))
            }
            state.isPrepared = true
            let all = works
            _ = try await job.commit(changes, checkpoint: state) { transaction in
                for work in all { try work(transaction) }
            }
        }

        // MARK: Pages

        private func replay(
            _ state: inout Progress, _ report: @Sendable (Int, Int) -> Void
        ) async throws -> Offset {
            var place = try await place(state)
            var done = 0
            var isSettled = false
            let journal = JournalAhead(store, options.page)
            var ahead = try await eventCount(after: place)
            report(done, ahead)
            while true {
                try Task.checkCancellation()
                let page = try await journal.page(after: place)
                if page.next > place {
                    try await journal.working(on: page) {
                        let events = page.events.map { EventInHand($0, reader: reader) }
                        try await handle(events, through: page.next, &state)
                    }
                }
                place = page.next
                done += page.events.count
                ahead = max(ahead, done)
                report(done, ahead)
                guard page.reachedHead else { continue }
                if isSettled { return place }
                // What was committed before, beside a transaction that is still running, belongs to it.
                try await store.settle(timeout: .seconds(30))
                isSettled = true
            }
        }

        private func eventCount(after place: Offset) async throws -> Int {
            let shards = try await store.metadata().shardCount
            return try await store.backlog(
                after: Dictionary(uniqueKeysWithValues: (0..<UInt64(shards)).map { (Shard($0), place) })
            ).reduce(0) { $0 + $1.events }
        }

        /// Compares what was handed out with what the journal holds. Events that were deleted meanwhile are no loss.
        private func verify(_ state: Progress, through end: Offset) async throws {
            let start = Offset(state.start) ?? .start
            let before = try await eventCount(after: start)
            let after = try await eventCount(after: end)
            for outcome in state.outcomes {
                let handled = outcome.events + outcome.erased + outcome.deadLetters + outcome.skipped
                if handled >= before - after { continue }
                // Other software may have deleted events behind the back of what is counted by.
                if handled < (try await JournalWalk(store: store).count(from: start, through: end)) {
                    throw OperationError(
                        .failed, "projection \(outcome.name) was given \(handled) events of \(before - after)",
                        hint: "the read model in use is as it was; ego jobs discard gives this rebuild up")
                }
            }
        }

        /// Where the next page begins: the same for all, as they are committed together.
        private func place(_ state: Progress) async throws -> Offset {
            var place: Offset?
            for outcome in state.outcomes {
                let offsets = try await store.offsets(of: outcome.name, version: outcome.version).map(\.offset)
                if let own = offsets.min() { place = min(place ?? own, own) }
            }
            return place ?? .start
        }

        /// Hands a page to all handlers, and commits it. Where an event fails, the page is committed up to it, without it, and
        /// the rest after that.
        private func handle(_ events: [EventInHand], through end: Offset, _ state: inout Progress) async throws {
            var left: [String: [Int: String]] = [:]
            for outcome in state.outcomes {
                if case .external(let handler) = try projection(outcome.name).handler {
                    left[outcome.name] = try await handle(events, handler, outcome.name)
                }
            }
            var (first, last) = (events.startIndex, events.endIndex)
            repeat {
                let part = events[first..<last]
                let next = counted(state, part, left)
                let works = try works(part, left, state)
                let place = last == events.endIndex ? end : events[last - 1].record.offset
                let changes = try await advances(part, through: place, next, left)
                let all = works.map(\.work)
                do {
                    _ = try await job.commit(changes, checkpoint: next) { transaction in
                        for work in all { try work(transaction) }
                    }
                    state = next
                    (first, last) = (last, events.endIndex)
                } catch let error as StoreError {
                    if error.isAboutStore || part.isEmpty { throw error }
                    let found = works.lazy.compactMap { model in
                        model.failed.index(of: error).map { (model, model.indices[$0]) }
                    }.first
                    // What fails at the end of the transaction says not which event it was, nor whose: they are parted
                    // until it is one.
                    if found == nil, part.count > 1 {
                        last = first + part.count / 2
                        continue
                    }
                    guard let (model, index) = found ?? works.first.map({ ($0, first) }) else { throw error }
                    let text = model.failed.text ?? "\(error)"
                    try refuse(events[index], model.name, text)
                    left[model.name, default: [:]][index] = text
                    last = index + 1
                }
            } while first < events.endIndex
        }

        /// What one read model does with a part of a page.
        private struct ModelWork {
            var name: String
            var indices: [Int]
            var failed: FailedEvent
            var work: ReadModelWork
        }

        private func works(
            _ part: ArraySlice<EventInHand>, _ left: [String: [Int: String]], _ state: Progress
        ) throws -> [ModelWork] {
            try state.outcomes.compactMap { outcome in
                guard case .readModel(let model) = try projection(outcome.name).handler else { return nil }
                let own = left[outcome.name] ?? [:]
                let indices = part.indices.filter { own[$0] == nil }
                let failed = FailedEvent()
                let work = ReadModelPage(model, version: outcome.version).work(indices.map { part[$0] }[...], failed)
                return work.map { ModelWork(name: outcome.name, indices: indices, failed: failed, work: $0) }
            }
        }

        private func handle(
            _ events: [EventInHand], _ handler: any ProjectionHandler, _ name: String
        ) async throws -> [Int: String] {
            var failed: [Int: String] = [:]
            for (index, event) in events.enumerated() {
                do { try await handler.handle(event.event()) } catch {
                    if Task.isCancelled { throw CancellationError() }
                    try refuse(event, name, "\(error)")
                    failed[index] = "\(error)"
                }
            }
            return failed
        }

        private func refuse(_ event: EventInHand, _ name: String, _ text: String) throws(OperationError) {
            if options.onError != .fail { return }
            let record = event.record
            throw OperationError(
                .failed, "projection \(name), event \(record.sequenceNumber) of \(record.persistenceID): \(text)",
                hint:
                    "the read model in use is as it was; mend the handler and repeat the command, which goes on, or begin anew with --on-error dead-letter"
            )
        }

        private func counted(
            _ state: Progress, _ part: ArraySlice<EventInHand>, _ left: [String: [Int: String]]
        ) -> Progress {
            var next = state
            for event in part {
                next.timestamps[event.record.shard.rawValue] = event.record.timestamp.unixNanoseconds
            }
            for index in next.outcomes.indices {
                let own = left[next.outcomes[index].name] ?? [:]
                let failed = part.indices.count { own[$0] != nil }
                let erased = part.indices.count { own[$0] == nil && part[$0].isErased }
                next.outcomes[index].events += part.count - failed - erased
                next.outcomes[index].erased += erased
                switch options.onError {
                case .deadLetter: next.outcomes[index].deadLetters += failed
                case .skip, .fail: next.outcomes[index].skipped += failed
                }
            }
            return next
        }

        private func advances(
            _ part: ArraySlice<EventInHand>, through end: Offset, _ state: Progress, _ left: [String: [Int: String]]
        ) async throws -> [OperatorChange] {
            let now = time.now()
            let offsets = (0..<UInt64(try await store.metadata().shardCount)).map { shard in
                CommittedOffset(
                    shard: Shard(shard), offset: end, committedAt: now,
                    eventTimestamp: state.timestamps[shard].map(Timestamp.init(unixNanoseconds:)))
            }
            return state.outcomes.map { outcome in
                var letters: [DeadLetter] = []
                if options.onError == .deadLetter {
                    for (index, text) in left[outcome.name] ?? [:] where part.indices.contains(index) {
                        letters.append(
                            DeadLetter(
                                part[index].record, projection: outcome.name, version: outcome.version, error: text,
                                attempts: 1, failedAt: now))
                    }
                }
                return .advance(
                    ProjectionAdvance(
                        projection: outcome.name, version: outcome.version, offsets: offsets, deadLetters: letters))
            }
        }

        // MARK: The new read models take their places

        private func promote(_ state: inout Progress) async throws {
            try await checkOwnership(state)
            var done = state
            var changes: [OperatorChange] = []
            var works: [@Sendable (any ReadModelTransaction) throws -> Void] = []
            for index in done.outcomes.indices {
                let outcome = done.outcomes[index]
                guard var record = try await store.projection(outcome.name) else {
                    throw OperationError.noProjection(outcome.name)
                }
                switch outcome.strategy {
                case .shadow:
                    changes.insert(.breakLease(ProjectionRecord.lease(of: outcome.name)), at: 0)
                    let (schema, old) = (record.schema(of: outcome.version), record.schema(of: record.activeVersion))
                    // One that never ran has nothing to go back to.
                    let hasRun = try await !store.offsets(of: outcome.name, version: record.activeVersion).isEmpty
                    let gone = [record.previousVersion, hasRun ? nil : record.activeVersion].compactMap(\.self)
                    let dropped = gone.map { ($0, record.schema(of: $0)) }
                    for version in gone {
                        changes.append(.forgetVersion(version, ofProjection: outcome.name))
                        record.tables[version] = nil
                    }
                    record.previousVersion = hasRun ? record.activeVersion : nil
                    record.activeVersion = outcome.version
                    record.shadowVersion = nil
                    record.failure = nil
                    works.append { transaction in
                        try schema.show(outcome.version, insteadOf: old, in: transaction)
                        for (version, schema) in dropped { try schema.drop(version, in: transaction) }
                    }
                case .inPlace:
                    changes.insert(.breakLease(ProjectionRecord.lease(of: outcome.name)), at: 0)
                    record.mode = state.modes[outcome.name].flatMap(ProjectionRecord.Mode.init) ?? .running
                }
                record.rebuildJob = nil
                changes.append(.saveProjection(record))
                done.outcomes[index].isVerified = true
                done.outcomes[index].isPromoted = true
            }
            let all = works
            try await job.finish(changes, result: try JobText.encode(done.outcomes)) { transaction in
                for work in all { try work(transaction) }
            }
            state = done
        }
    }
}
