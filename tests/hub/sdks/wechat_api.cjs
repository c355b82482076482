// wechat-api, the elder of co-wechat-api. Its setEndpoint() puts https:// before a host; the property takes any URL.
const { promisify } = require('node:util');
const WechatAPI = require('wechat-api');
const { serve, TEXT } = require('./driver.cjs');

const { WECHAT_BASE_URL, WECHAT_APPID, WECHAT_SECRET, WX_TEST_PICTURE } = process.env;

const api = new WechatAPI(WECHAT_APPID, WECHAT_SECRET);
api.endpoint = WECHAT_BASE_URL;
const ask = (method, ...args) => promisify(api[method]).call(api, ...args);

serve(
  {
    call: () => ask('sendText', 'oWitness', TEXT),
    ticket: async () => (await ask('getTicket', 'jsapi')).ticket,
    upload: () => ask('uploadMedia', WX_TEST_PICTURE, 'image'),
  },
  async () => api.store?.accessToken,
);
