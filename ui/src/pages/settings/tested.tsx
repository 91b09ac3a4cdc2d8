import { CircleAlert, CircleCheck } from "lucide-react";
import type { TestChannelResponse } from "~/gen/cnnf/v1/channel_pb";
import { channels } from "~/text/channels";
import { safe } from "~/text/safe";
import styles from "./channels.module.css";

const words = channels.tested;

/** What became of a test message. */
export function Tested(props: { waits: boolean; answer: TestChannelResponse | undefined; udp: boolean }) {
  const { waits, answer, udp } = props;
  return (
    <p role="status" className={answer && !answer.delivered ? styles.failed : styles.tested}>
      {waits && words.waits}
      {answer?.delivered && (
        <>
          <CircleCheck size={15} aria-hidden />
          {udp ? words.sent : words.arrived(answer.tookMs)}
        </>
      )}
      {answer && !answer.delivered && (
        <>
          <CircleAlert size={15} aria-hidden />
          {words.failed(safe(answer.error, 600))}
        </>
      )}
    </p>
  );
}
