// Lays graphs out beside the page.
import { layout } from "./graph-layout.js";

self.onmessage = ({ data: { id, drawing } }) => self.postMessage({ id, layout: layout(drawing) });
