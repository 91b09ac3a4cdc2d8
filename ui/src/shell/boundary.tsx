import { Component, type ReactNode } from "react";
import { Empty } from "~/parts/states";
import { text } from "~/text";
import { safe } from "~/text/safe";

interface Props {
  /** When this changes, what broke is tried again. */
  resetKey: string;
  children: ReactNode;
}

/** Keeps what breaks in one page from taking the rest with it. */
export class Boundary extends Component<Props, { broke: Error | undefined }> {
  override state: { broke: Error | undefined } = { broke: undefined };

  static getDerivedStateFromError(broke: Error) {
    return { broke };
  }

  override componentDidUpdate(before: Props) {
    if (before.resetKey !== this.props.resetKey && this.state.broke) this.setState({ broke: undefined });
  }

  override render() {
    const { broke } = this.state;
    if (!broke) return this.props.children;
    return (
      <Empty
        title={text.errors.pageBroke}
        action={
          <button type="button" className="btn" onClick={() => this.setState({ broke: undefined })}>
            {text.errors.tryAgain}
          </button>
        }
      >
        {text.errors.pageBrokeHelp} <code>{safe(broke.message)}</code>
      </Empty>
    );
  }
}
