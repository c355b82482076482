// wechat-api, the elder of co-wechat-api. Its setEndpoint() puts https:// before a host; the property takes any URL.
const { promisify } = require('node:util');
const WechatAPI = require('wechat-api');
const { serve, HUB, APPID, KEY, PICTURE, TEXT } = require('./driver.cjs');

const api = new WechatAPI(APPID, KEY);
api.endpoint = HUB;
const ask = (method, ...args) => promisify(api[method]).call(api, ...args);

serve(
  {
    call: () => ask('sendText', 'oWitness', TEXT),
    ticket: async () => (await ask('getTicket', 'jsapi')).ticket,
    upload: () => ask('uploadMedia', PICTURE, 'image'),
  },
  async () => api.store?.accessToken,
);
