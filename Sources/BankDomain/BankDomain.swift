public import EgoCore

extension Domain {
    /// The sample bank: event-sourced accounts, with the messages of eGo for Go's sample (package `samplepb`).
    public static let bank = Domain(
        name: "bank", kinds: [.eventSourced(AccountBehavior())],
        messages: [
            MessageType(Samplepb_TransferState.self), MessageType(Samplepb_TransferStarted.self),
            MessageType(Samplepb_SourceDebited.self), MessageType(Samplepb_DestinationCredited.self),
        ])
}
